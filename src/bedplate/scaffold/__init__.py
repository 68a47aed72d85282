"""`bedplate new` and `bedplate add`: plan files in memory, then write all of them."""
