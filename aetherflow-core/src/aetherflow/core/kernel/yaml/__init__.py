"""Strict YAML with positions, the models of the flow, and the binding of plain data to typed models."""
