"""The schemas that messages are written and read with: counted, on spans, and in dead letters."""
