"""PostgreSQL, by psycopg 3 and its libpq layer."""
