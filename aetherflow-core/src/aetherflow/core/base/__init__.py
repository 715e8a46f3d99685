"""What every room may use: errors, places in documents, problems, redaction, lasting effects."""
