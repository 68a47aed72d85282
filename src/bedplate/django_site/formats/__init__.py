"""How the admin site writes instants: to the second, in UTC, and sortable."""
