"""Telemetry: logs, metrics."""
