"""Pages of runs, of the status and of schedules, and pictures of graphs: each one file that opens from anywhere."""
