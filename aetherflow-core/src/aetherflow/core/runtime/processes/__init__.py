"""The child processes of steps: process groups, the guard, captured output."""
