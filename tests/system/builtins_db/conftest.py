"""Flows over databases."""

from db_project import anywhere, connect, driver, duck, lite, make_project, only_published, place, project, two

__all__ = ["anywhere", "connect", "driver", "duck", "lite", "make_project", "only_published", "place", "project", "two"]
