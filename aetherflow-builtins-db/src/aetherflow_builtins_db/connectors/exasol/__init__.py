"""Exasol, by pyexasol over the WebSocket protocol."""
