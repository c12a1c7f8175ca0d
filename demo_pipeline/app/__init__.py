"""The programs: command line, HTTP, one process with all services, and their recordings."""
