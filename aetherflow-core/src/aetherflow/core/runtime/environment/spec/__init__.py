"""Documents of the environment as plain models: fields and types, no behaviour."""
