"""Benchmarks: the cost of a request in the service and in a minimal application."""
