"""The plugin host: names from installed metadata, objects imported on first use."""
