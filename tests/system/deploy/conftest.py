"""A schedule in a folder of its own."""

from scheduler_bench import bench, until

__all__ = ["bench", "until"]
