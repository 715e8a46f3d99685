"""Steps that make HTTP requests, one module each."""
