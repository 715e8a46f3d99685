"""DuckDB: a database in one file, or in memory."""
