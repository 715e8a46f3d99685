"""The workbook as an OPC package (ECMA-376 part 2): a ZIP archive of XML parts; unchanged parts are copied."""
