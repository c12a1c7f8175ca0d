"""Upload dashboards to a running Grafana."""
