"""Steps for archives, mail and remote files; the steps for SFTP and SMB share their code."""
