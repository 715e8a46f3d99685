"""Records beside and after runs: the run index, notification rows, how runs stand, copies, pruning, checks."""
