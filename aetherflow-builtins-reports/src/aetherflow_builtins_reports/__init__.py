"""Excel workbooks: templates filled without losing anything in them, workbooks written and read."""
