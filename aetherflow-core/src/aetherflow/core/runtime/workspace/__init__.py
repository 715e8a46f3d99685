"""Folders of runs, and what steps may read and write."""
