"""The mail drivers."""
