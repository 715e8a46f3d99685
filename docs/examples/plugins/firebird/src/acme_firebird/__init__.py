"""Firebird for AetherFlow."""
