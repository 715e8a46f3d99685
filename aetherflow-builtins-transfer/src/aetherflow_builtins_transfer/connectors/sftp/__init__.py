"""The SFTP driver `paramiko`."""
