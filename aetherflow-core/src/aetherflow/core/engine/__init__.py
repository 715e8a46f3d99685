"""From a checked flow to a finished run: jobs and steps, one after the other."""
