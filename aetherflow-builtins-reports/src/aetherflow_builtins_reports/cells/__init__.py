"""Values of data as cells of a sheet: whole columns at a time, one by one only where a column is irregular."""
