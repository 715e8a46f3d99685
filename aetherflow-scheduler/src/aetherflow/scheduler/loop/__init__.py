"""The processes that run slots: `run`, `tick`, `run-item` and `backfill`."""
