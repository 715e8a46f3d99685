"""AetherFlow's HTTP connector and steps."""
