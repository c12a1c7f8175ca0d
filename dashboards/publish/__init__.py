"""Getting dashboards and rules into a running Grafana."""
