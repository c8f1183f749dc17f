"""The loss: torch tensors in, one number per structure out; no metatrain."""
