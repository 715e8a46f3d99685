"""The implementation of `RunContext`: the run as one attempt of a step sees it."""
