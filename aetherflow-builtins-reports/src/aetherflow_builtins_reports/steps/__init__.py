"""Steps that fill, check, write and read Excel workbooks."""
