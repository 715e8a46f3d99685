"""What a run shows and keeps: its events, the run log, the event file."""
