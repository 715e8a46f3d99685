"""Folders of runs, and the sandbox of paths that steps may read and write."""
