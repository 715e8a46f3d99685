"""One module per step; `query` holds what the reading steps share."""
