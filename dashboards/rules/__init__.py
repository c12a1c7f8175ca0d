"""Recording rules and alerts, and their files for Prometheus, Grafana and Kubernetes."""
