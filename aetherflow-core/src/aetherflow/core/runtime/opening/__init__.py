"""A flow that is checked and settled, so that a run of it may go on."""
