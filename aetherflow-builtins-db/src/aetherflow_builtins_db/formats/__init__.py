"""Writers of result rows, one module per format, on one idea of what a value looks like."""
