"""Rows go in, and everything that refers to rows moves with them."""
