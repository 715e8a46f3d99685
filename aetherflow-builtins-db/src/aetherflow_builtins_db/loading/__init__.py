"""Loads a file into a table: readers of file formats, one Server class per database, and the steps of a load."""
