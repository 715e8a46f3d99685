"""One room per driver, and `common` for what they share. Each imports its driver library where it connects."""
