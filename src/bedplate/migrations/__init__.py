"""Alembic's environment and revisions. `bedplate migrate` runs them."""
