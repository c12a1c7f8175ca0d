"""Trace context, event metadata and dead-letter provenance in the headers of messages."""
