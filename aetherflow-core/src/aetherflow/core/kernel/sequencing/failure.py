"""How a failure is reported: its code, its message, its fix."""

import errno

from aetherflow.core.base.errors import AetherflowError, StepError

RAISED_AT = "aetherflow_raised_at"
"""Attribute of an error: package, file and line of the third-party plugin that raised it or its cause, if known."""
_FIXES = {
    errno.ENOSPC: "free space on that disk, then resume with the command below",
    errno.EDQUOT: "free space within the quota of this account, then resume with the command below",
    errno.EROFS: "that disk is read-only: name another place, or find out why it is mounted read-only",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
"""Fix by errno of the operating system; for other errors the step has to give one."""


def error_code_of(error: BaseException) -> str:
    """The code of an error; an exception of a foreign type has that of StepError."""
    return error.code if isinstance(error, AetherflowError) else StepError.code


def fix_of(error: BaseException) -> str:
    """What to do about an error; empty if nothing is known."""
    fix = getattr(error, "fix", "")
    if not fix and isinstance(error, OSError):
        fix = _FIXES.get(error.errno or 0, "")
    return fix if isinstance(fix, str) else ""


def message_of(error: BaseException) -> str:
    """The message of an error, the same wherever it is reported; a foreign error is prefixed with its type."""
    place = f" ({raised})" if (raised := getattr(error, RAISED_AT, "")) else ""
    if isinstance(error, AetherflowError):
        return f"{error}{place}"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__) + place
