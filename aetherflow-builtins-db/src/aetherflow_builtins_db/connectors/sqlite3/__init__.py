"""SQLite, by the module of Python's standard library."""
