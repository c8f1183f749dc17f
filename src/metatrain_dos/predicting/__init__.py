"""Predict the DOS of structures, with an energy axis, Fermi level and gap."""
