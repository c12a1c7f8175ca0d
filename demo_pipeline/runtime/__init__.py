"""The base of every service: database, consuming, publishing, and deliberate faults."""
