"""Reading scheduler.yaml: every mistake at its place."""
