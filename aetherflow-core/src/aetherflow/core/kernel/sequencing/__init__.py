"""From a plan to a finished run: jobs, steps and attempts, one after the other."""
