"""Turn dashboards as data into Grafana's JSON with the Grafana Foundation SDK."""
