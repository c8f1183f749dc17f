"""Helpers for all folders: files, progress, atomic writes; nothing of a DOS."""
