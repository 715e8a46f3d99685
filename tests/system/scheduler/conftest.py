"""A schedule in a folder of its own."""

from scheduler_bench import bench, one_day, prepared_benches, until

__all__ = ["bench", "one_day", "prepared_benches", "until"]
