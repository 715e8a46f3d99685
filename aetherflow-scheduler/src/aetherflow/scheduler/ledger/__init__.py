"""The ledger: what became of every slot. One SQLite file, written through the kernel's durable parts."""
