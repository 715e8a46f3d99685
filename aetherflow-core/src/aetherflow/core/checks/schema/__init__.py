"""JSON Schemas of the documents, for editors: from the same models that `validate` uses, with what is installed."""
