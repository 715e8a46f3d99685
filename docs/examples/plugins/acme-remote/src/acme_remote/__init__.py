"""Files in S3, on FTP servers and in memory, by fsspec: connectors, and no step of their own."""
