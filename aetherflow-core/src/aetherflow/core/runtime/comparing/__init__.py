"""What is different between two runs of a flow, and what of it may be the cause of a failure."""
