"""The connectors of a run: opened, cached, shared, closed."""
