"""The frozen schedule: its pydantic model, items and slots, and the rules for due slots."""
