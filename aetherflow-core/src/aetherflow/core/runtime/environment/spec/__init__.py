"""Models of the environment's documents: fields and types, no behaviour."""
