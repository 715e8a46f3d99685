"""The flow project of the kernel's tests."""

from core_project import inbox, lives, project, reap, unprivileged, wait_for

__all__ = ["inbox", "lives", "project", "reap", "unprivileged", "wait_for"]
