"""Reports from the ledger: unaccounted slots (`audit`) and the state of each item (`status`)."""
