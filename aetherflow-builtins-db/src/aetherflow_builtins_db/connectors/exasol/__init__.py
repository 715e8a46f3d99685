"""Exasol, over its WebSocket protocol by pyexasol."""
