"""A project that tells, without a process for it."""

from telling import telling

__all__ = ["telling"]
