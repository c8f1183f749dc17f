"""The hook into metatrain: registers the loss, checks its options, logs its terms."""
