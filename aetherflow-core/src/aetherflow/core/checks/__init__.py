"""What `validate` runs: every check adds to one list of problems, and none of them touches the world."""
