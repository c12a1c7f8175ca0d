"""Tracing of messages on any transport: sending, receiving, processing, settling."""
