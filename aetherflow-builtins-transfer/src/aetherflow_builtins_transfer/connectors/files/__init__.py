"""The base of the file connectors: sessions, retries, uploads and downloads, independent of the protocol."""
