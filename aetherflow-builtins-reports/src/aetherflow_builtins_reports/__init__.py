"""Excel steps: fill templates without losing any of their content, write workbooks, and read them."""
