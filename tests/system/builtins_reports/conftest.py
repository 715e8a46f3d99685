"""The flow project of the kernel's tests."""

from core_project import project

__all__ = ["project"]
