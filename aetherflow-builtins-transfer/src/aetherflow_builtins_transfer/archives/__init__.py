"""Archive formats, member checks and compression, shared by the archive connectors and steps."""
