"""Dead letters in a browser: pages for one operator, served on the loopback interface.

The server makes the pages, and they have no scripts. `python -m tracing dlq serve` starts it; it
needs the extra `web`.
"""
