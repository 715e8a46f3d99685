"""Connectors to files: sessions, retries, uploads and downloads that every protocol shares."""
