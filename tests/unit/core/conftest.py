"""The flow project of the kernel's tests."""

from core_project import lives, project, reap, unprivileged, wait_for

__all__ = ["lives", "project", "reap", "unprivileged", "wait_for"]
