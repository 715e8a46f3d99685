"""The observers and step wrappers of a run: hooks of plugins, metrics, spans."""
