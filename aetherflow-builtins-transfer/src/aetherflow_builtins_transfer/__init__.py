"""File transfer: SFTP and SMB, mail, archives."""
