"""The checks of `db_check`: their model, their queries and their results."""
