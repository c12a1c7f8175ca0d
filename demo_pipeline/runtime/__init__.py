"""What every service runs on: database, consuming, publishing, faults on purpose."""
