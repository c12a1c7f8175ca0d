"""What the shop's services say to each other: events, commands, topics and their encoding."""
