"""The plugin host: plugin names come from installed metadata, plugins are imported on first use."""
