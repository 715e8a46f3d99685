"""What `db_check` asks a database."""
