"""Counts from anything that answers Prometheus's HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics."""
