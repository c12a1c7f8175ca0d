"""How telemetry leaves the process: sending, what is lost on the way, and the end."""
