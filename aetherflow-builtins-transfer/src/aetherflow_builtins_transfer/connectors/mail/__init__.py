"""Mail drivers: an SMTP server, and a folder of files in its place."""
