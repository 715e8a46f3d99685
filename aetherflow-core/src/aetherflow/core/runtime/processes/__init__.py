"""The programs that steps start: in groups, guarded, their output kept."""
