"""SQLite, by Python's own module."""
