"""Steps, one module each."""
