"""Commands that belong to a built-in: programs on top of the command line, as those of plugins are."""
