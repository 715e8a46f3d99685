"""Steps without dependencies; registered by entry points like anyone's, importing only the api."""
