"""Literals and small functions that everything else builds on; it imports nothing of ours."""
