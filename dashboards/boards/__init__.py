"""The dashboards, one file each, as data."""
