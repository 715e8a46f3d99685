"""What a failure looks like to people: code, one message, place, fix; secrets masked."""

import errno
from typing import Any

from aetherflow.core.base.errors import AetherflowError, StepError, WhenError
from aetherflow.core.base.location import DocPath
from aetherflow.core.base.redact import Redactor
from aetherflow.core.base.summary import FailureSummary
from aetherflow.core.kernel.yaml.source_map import SourceMap

_FIXES = {
    errno.ENOSPC: "free space on that disk, then go on with the command below",
    errno.EDQUOT: "free space within the quota of this account, then go on with the command below",
    errno.EROFS: "that disk can only be read: name another place, or look why it was mounted so",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
"""What helps where the system refused; of other errors a step itself has to say it."""


def describe_failure(error: BaseException, source: SourceMap, path: DocPath, redactor: Redactor) -> FailureSummary:
    """Code, message, location and fix of an error that failed a step or a gate."""
    code = error.code if isinstance(error, AetherflowError) else StepError.code
    message = message_of(error)
    location = source.value(path)
    if isinstance(error, WhenError):
        message = f"when: {message}"
    fix: Any = getattr(error, "fix", "")
    if not fix and isinstance(error, OSError):
        fix = _FIXES.get(error.errno or 0, "")
    return FailureSummary(
        step=None,
        code=code,
        message=redactor.mask(message),
        location=str(location),
        fix=redactor.mask(fix) if isinstance(fix, str) and fix else None,
    )


def message_of(error: BaseException) -> str:
    """One text for an error wherever it is told; a foreign error brings the name of its type."""
    if isinstance(error, AetherflowError):
        return str(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
