"""Recording rules and alerts, as data and as files for Prometheus, Grafana and Kubernetes."""
