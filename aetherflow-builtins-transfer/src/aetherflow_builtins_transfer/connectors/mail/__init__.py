"""Mail drivers: an SMTP server, and a folder of files instead of one."""
