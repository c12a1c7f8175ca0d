"""The dashboards as data, one file each."""
