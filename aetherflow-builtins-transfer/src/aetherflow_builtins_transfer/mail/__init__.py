"""Messages: addresses, bodies, attachments, and the SMTP conversation."""
