"""Reserved for file transfer: SFTP, SMB, mail, archives. Holds no plugin yet."""
