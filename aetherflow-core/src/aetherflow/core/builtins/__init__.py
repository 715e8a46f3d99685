"""Steps and bundle sources without dependencies; registered by entry points like those of other distributions."""
