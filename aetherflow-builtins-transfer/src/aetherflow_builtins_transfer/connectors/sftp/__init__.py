"""The SFTP driver over paramiko."""
