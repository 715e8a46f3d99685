"""File transfer: connectors and steps for mail and archives."""
