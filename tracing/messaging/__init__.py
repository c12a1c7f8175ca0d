"""What is traced of a message, whatever carries it: sending, receiving, processing, settling."""
