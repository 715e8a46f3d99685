"""What a run shows and keeps: events, logs, redaction, the summary."""
