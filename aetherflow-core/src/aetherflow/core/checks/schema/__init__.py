"""JSON Schemas of the documents for editors, made from the models of `validate` and the installed plugins."""
