"""The programs: command line, HTTP API, and runs of all services in one process."""
