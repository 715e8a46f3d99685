"""Database connectors and SQL steps for AetherFlow, found through entry points."""
