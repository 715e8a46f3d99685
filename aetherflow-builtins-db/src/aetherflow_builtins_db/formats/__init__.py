"""Writers of result rows, one module per format; `values` defines the text of a value for all of them."""
