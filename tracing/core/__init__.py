"""Names from specifications, ids, log lines and other small values. It imports nothing of ours."""
