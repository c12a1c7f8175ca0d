"""Everything worth seeing, by subject."""
