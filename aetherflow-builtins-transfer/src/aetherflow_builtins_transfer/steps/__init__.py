"""The steps of this distribution, one module each."""
