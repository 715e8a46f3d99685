"""The SMB drivers over smbprotocol and pysmb."""
