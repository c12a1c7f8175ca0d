"""The version of the three distributions; each `pyproject.toml` reads it here."""

# Hatchling finds it with a pattern that has no room for an annotation.
__version__ = "0.1.0"
