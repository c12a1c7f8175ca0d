"""What is measured: the catalogue of metrics, and the instruments behind it."""
