"""The command line of `python -m tracing`."""
