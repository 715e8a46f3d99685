"""A schedule in a folder of its own."""

from core_project import unprivileged
from scheduler_bench import bench, one_day, prepared_benches, until

__all__ = ["bench", "one_day", "prepared_benches", "unprivileged", "until"]
