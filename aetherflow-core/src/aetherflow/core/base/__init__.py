"""What every other package may use: errors, locations, problems, redaction, durable effects."""
