"""Events of a run and the files that they are written to: the run log and the event file."""
