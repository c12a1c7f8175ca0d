"""Handling records to their end: attempts, dead letters, and what is logged of both."""
