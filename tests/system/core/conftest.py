"""The flow project of the kernel's tests."""

from claiming import inbox
from core_project import lives, project, reap, unprivileged, wait_for

__all__ = ["inbox", "lives", "project", "reap", "unprivileged", "wait_for"]
