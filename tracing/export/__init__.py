"""Sending telemetry away: encoding, retries, what is lost on the way, and the shutdown."""
