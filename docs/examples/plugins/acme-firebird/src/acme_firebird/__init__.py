"""A distribution with one connector: Firebird databases for the built-in db steps."""
