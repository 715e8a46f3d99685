"""What the pages of the docs hold."""
