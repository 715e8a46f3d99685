"""What an audit must not overlook, the instants of options, and backfills that were not done."""
