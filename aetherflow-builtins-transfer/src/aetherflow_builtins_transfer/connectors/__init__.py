"""The connectors of this distribution, one module each."""
