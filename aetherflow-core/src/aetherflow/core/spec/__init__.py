"""The documents as plain models: fields and types, no behaviour."""
