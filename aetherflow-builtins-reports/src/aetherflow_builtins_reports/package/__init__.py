"""The workbook as a package: a ZIP archive of XML parts, read part by part and copied byte for byte."""
