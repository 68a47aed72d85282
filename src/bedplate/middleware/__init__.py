"""What happens to every request: identity, limits, headers, errors, log, metrics."""
