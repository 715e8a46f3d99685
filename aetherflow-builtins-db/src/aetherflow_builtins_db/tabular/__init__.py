"""Files of rows as the file steps see them: how each is written down, its columns with their types, its rows."""
