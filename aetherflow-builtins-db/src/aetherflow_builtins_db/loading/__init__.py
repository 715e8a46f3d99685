"""Rows from a file into a table: readers of files, one writer per server, and the rules that hold on all of them."""
