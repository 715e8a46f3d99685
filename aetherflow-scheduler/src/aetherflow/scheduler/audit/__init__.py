"""What the ledger says about a schedule: gaps, and how each item stands."""
