"""Stores of the engine (state, locks) in a database server."""
