"""Connectors for S3 and FTP by fsspec, and a step that fetches files."""
