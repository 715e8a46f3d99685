"""The ledger: one SQLite file that records every slot and its result, written with the core's durable I/O."""
