"""One module per driver. Each imports its driver library where it connects."""
