"""What the archive connectors and steps share: formats, checks, compression."""
