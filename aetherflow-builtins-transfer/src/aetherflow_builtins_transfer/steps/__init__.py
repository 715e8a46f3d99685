"""Steps for archives, mail and files at a peer; those for SFTP and SMB share their code."""
