"""From dashboards as data to Grafana's JSON, by the Grafana Foundation SDK."""
