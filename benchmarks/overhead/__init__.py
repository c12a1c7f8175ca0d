"""The cost of a message: this library beside the official instrumentation. See `__main__`."""
