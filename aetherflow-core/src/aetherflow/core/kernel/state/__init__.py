"""The history of runs: one transaction per transition, on SQLite."""
