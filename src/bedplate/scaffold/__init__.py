"""What `bedplate new` and `bedplate add` write: planned in memory, then all at once."""
