"""Middleware around every request: limits, headers, errors, logs and metrics."""
