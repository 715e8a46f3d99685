"""Flows over databases."""

from db_project import anywhere, connect, driver, duck, lite, make_project, place, project

__all__ = ["anywhere", "connect", "driver", "duck", "lite", "make_project", "place", "project"]
