"""Grafana dashboards and alert rules for pipelines, generated from the catalogue of metrics."""
