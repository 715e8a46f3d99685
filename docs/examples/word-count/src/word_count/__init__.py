"""A distribution with one step."""
