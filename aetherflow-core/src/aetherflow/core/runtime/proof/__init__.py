"""Whether what is recorded is what was written: the chains of states, and that of a state root."""
