"""The archive drivers."""
