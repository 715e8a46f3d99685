"""What observes a run and stands around its steps: hooks of plugins, metrics, spans."""
