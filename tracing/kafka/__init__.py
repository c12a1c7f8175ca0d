"""What knows aiokafka: its clients' methods, wrapped or replaced."""
