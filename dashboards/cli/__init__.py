"""The command line of `python -m dashboards`."""
