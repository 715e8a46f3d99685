"""Connectors of kind `rest`, one module each."""
