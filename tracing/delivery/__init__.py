"""Handling messages to the end: attempts, retries, dead letters, and what is settled when."""
