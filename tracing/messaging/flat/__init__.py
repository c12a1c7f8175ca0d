"""The flat path: one object per message, in front of the general code, which is its oracle."""
