"""Reads scheduler.yaml and reports every mistake with its line and column."""
