"""The shop's domain: orders, events, commands, topics, and how messages are encoded."""
