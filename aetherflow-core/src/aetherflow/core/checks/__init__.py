"""The checks of `validate`, `doctor` and `explain`: each adds to one list of problems and has no side effects."""
