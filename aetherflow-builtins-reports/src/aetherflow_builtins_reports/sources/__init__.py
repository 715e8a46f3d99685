"""Data files as chunks of columns."""
