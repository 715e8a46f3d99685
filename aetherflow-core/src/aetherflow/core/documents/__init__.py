"""Documents: strict YAML with positions, and the binding of plain data to typed models."""
