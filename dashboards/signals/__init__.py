"""The signals, by subject."""
