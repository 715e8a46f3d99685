"""A schedule in a folder of its own."""

from scheduler_bench import bench

__all__ = ["bench"]
