"""Reads data files as chunks of columns."""
