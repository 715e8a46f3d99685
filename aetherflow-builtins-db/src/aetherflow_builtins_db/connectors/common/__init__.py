"""What the connectors of all databases share."""
