"""Every error that AetherFlow raises on purpose.

    AetherflowError                      exit 1
    ├── SpecError (ValueError)           exit 2   a document is wrong; carries every finding
    ├── UsageError (ValueError)          exit 2   a command, argument or setting is wrong
    ├── WorkspaceError                   exit 2   the folder of all runs cannot be used
    ├── ResolverError                    exit 2
    │   ├── ResolverSyntaxError (ValueError)      a template that is not {{PATH}} or {{PATH:DEFAULT}}
    │   └── ResolverMissingKeyError (KeyError)    a template without value and without default
    ├── WhenError (ValueError)           exit 2   a `when` expression that cannot be read or compared
    ├── PluginError                      exit 2   a plugin cannot be used
    │   ├── PluginNotFoundError (KeyError)        no installed distribution provides the name
    │   ├── PluginConflictError                   two distributions provide the name
    │   ├── PluginNotAllowedError                 the policy does not accept the distribution
    │   ├── PluginLockError                       the distribution is not as the lock of the plugins says
    │   ├── PluginVersionError                    the distribution is for another version of aetherflow-core
    │   ├── HookError                             a hook that does not exist or does not fit its specification
    │   ├── HookFailedError                       a hook that takes part in a command failed
    │   ├── PluginFileError (RuntimeError)        a folder plugin, or one of the old group, cannot be loaded
    │   ├── PluginPathError (FileNotFoundError)   a plugin path that does not exist
    │   ├── PluginOverrideError                   a folder plugin takes the name of an installed one
    │   ├── LegacyPluginError                     a distribution registers its plugins in the old group
    │   └── PluginLoadError                       the module of a plugin cannot be imported or is of the wrong kind
    ├── RunError                         exit 1   carries the summary of the run
    │   ├── RunFailedError                        at least one job failed
    │   ├── RunUnknownError                       a step that must not be repeated unasked was interrupted
    │   └── RunInterruptedError          exit 128+signal
    ├── ChangedDefinitionError           exit 2   a finished step is not what it was when it ran
    ├── RunBusyError                     exit 3   another live process owns the run
    ├── StateError                       exit 4   the state store cannot be used
    │   ├── LostOwnershipError                    another process took the run over
    │   ├── UntrustedError                        another user could have written the state or the folders of runs
    │   └── OlderStateError                       the state lacks ends of runs that the run index knows
    └── StepError                        exit 1   raised inside a step
        ├── StepInputError (ValueError)           inputs that fail their model after rendering
        ├── PathError (ValueError)                a path outside the allowed roots
        ├── OutputError (ValueError)              outputs that cannot be stored
        ├── ProcessError (RuntimeError)           a child process failed
        │   └── LimitExceededError                    a decoder took more memory or time than it is given
        ├── ItemsFailedError                      items of a `for_each` failed, others did not depend on them
        ├── UndecidedStepError                    a `once` step was interrupted and it is not known whether it was done
        ├── StepCancelledError                    the run, or this attempt, is being ended
        ├── StepTimeoutError (TimeoutError)       the step's own time limit was reached
        ├── LockBusyError (RuntimeError)          another run holds the lock
        ├── LeaseLostError (RuntimeError)         a lock was lost while the step worked under it
        └── ConnectorError (RuntimeError)         a peer or its driver failed

Errors of claims are in `claim_errors`, RunError and its subclasses in `kernel.sequencing.run_errors`.
Each class has a stable code (its section in docs/reference/errors.md) and an exit code, which the command line returns.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from aetherflow.core.base.location import DocPath, Location
    from aetherflow.core.base.problems import Problem

TEMPLATE_MESSAGE = "Unsupported templating syntax. Use {{VAR}} or {{VAR:DEFAULT}}"
"""First line of every ResolverSyntaxError, word for word (contract)."""


class AetherflowError(Exception):
    """Base of all expected errors: shown without a traceback, with its code and exit code."""

    code: ClassVar[str] = "AF0001"
    exit_code: int = 1
    told: bool = False
    """True once a command has shown the error; it is not shown again."""

    def __init__(self, message: str = "", *, fix: str = "", commands: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message, self.commands = message, tuple(commands)  # which show or remove the cause, and end the fix
        self.fix = f"{fix}: {'; or: '.join(commands)}" if commands else fix

    def __str__(self) -> str:
        return self.message


class SpecError(AetherflowError, ValueError):
    """A document is wrong. `problems` holds every finding, the message is the first."""

    code = "AF1000"
    exit_code = 2

    def __init__(self, problems: "Iterable[Problem] | str") -> None:
        self.problems: list[Problem] = [] if isinstance(problems, str) else list(problems)
        errors = (p.as_text() for p in self.problems if p.severity == "error")
        super().__init__(problems if isinstance(problems, str) else next(errors, ""))


class UsageError(AetherflowError, ValueError):
    """A command, an argument or a setting is wrong."""

    code = "AF0002"
    exit_code = 2
    location: "Location | None" = None
    """Location of the wrong setting, if it is known."""


class WorkspaceError(AetherflowError):
    """The folder of all runs cannot be made or written."""

    code = "AF0004"
    exit_code = 2


class ResolverError(AetherflowError):
    """A template could not be rendered; `at` is the document path of the string, once it is known."""

    code = "AF1300"
    exit_code = 2
    at: "DocPath" = ()


class ResolverSyntaxError(ResolverError, ValueError):
    """Text that looks like a template but is not valid. The message contains no values; `hint` says what is wrong."""

    code = "AF1301"

    def __init__(self, hint: str = "", *, offset: int = 0, location: "Location | None" = None) -> None:
        self.hint = hint
        self.offset = offset
        self.location = location
        super().__init__(TEMPLATE_MESSAGE)

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        detail = f"{where}{self.hint}".rstrip(": ")
        return f"{TEMPLATE_MESSAGE}\n{detail}" if detail else TEMPLATE_MESSAGE


class ResolverMissingKeyError(ResolverError, KeyError):
    """A template path without a value and without a default; `args[0]` is the dotted path."""

    code = "AF1303"

    def __init__(self, path: str, *, hint: str = "") -> None:
        self.path = path
        self.hint = hint
        super().__init__(path)

    def __str__(self) -> str:
        text = f"no value for {{{{{self.path}}}}}"
        return f"{text}; {self.hint}" if self.hint else text


class WhenError(AetherflowError, ValueError):
    """A `when` expression that cannot be parsed, or that orders values which have no order."""

    code = "AF1205"
    exit_code = 2

    def __init__(self, message: str, *, offset: int = 0) -> None:
        self.offset = offset
        super().__init__(message)


class PluginError(AetherflowError):
    """A plugin cannot be used; `extra` names the extra of aetherflow-core that installs it, if there is one."""

    code = "AF2100"
    exit_code = 2
    extra: str = ""


class PluginNotFoundError(PluginError, KeyError):
    """No installed distribution provides the name."""

    code = "AF2101"


class PluginLoadError(PluginError):
    """The module of a plugin cannot be imported, or its object is of the wrong kind."""

    code = "AF2102"


class PluginConflictError(PluginError):
    """Two installed distributions provide one name."""

    code = "AF2103"


class PluginNotAllowedError(PluginError):
    """The policy of enterprise mode does not accept the distribution."""

    code = "AF2104"


class HookError(PluginError):
    """A hook of the group `aetherflow.hooks` that is misspelt, not marked with `@hookimpl`, or has wrong arguments."""

    code = "AF2110"


class HookFailedError(PluginError):
    """A decider hook raised, or returned an invalid value; the message names its plugin."""

    code = "AF2111"


class PluginFileError(PluginError, RuntimeError):
    """A folder plugin, or an entry of the old group `aetherflow.plugins`, cannot be loaded."""

    code = "AF2120"


class PluginPathError(PluginError, FileNotFoundError):
    """A plugin path that does not exist."""

    code = "AF2121"


class PluginOverrideError(PluginError):
    """A folder plugin takes the name of an installed one: a warning, in enterprise mode an error."""

    code = "AF2122"


class LegacyPluginError(PluginError):
    """A distribution registers its plugins in the old group; a warning, never raised."""

    code = "AF2123"


class ChangedDefinitionError(AetherflowError):
    """Definitions of finished steps have changed since they ran; `changes` holds the name and the diff of each."""

    code = "AF3003"
    exit_code = 2

    def __init__(self, changes: "Sequence[tuple[str, str]]") -> None:
        self.changes = list(changes)
        texts = [f"{name}\n{textwrap.indent(diff, '  ')}" for name, diff in changes]
        lines = [f"changed since they finished: {', '.join(name for name, _ in changes)}", *texts]
        name = changes[0][0]
        fix = f"--accept-changes keeps their results, --from-step {name} does it again, another --run-id starts afresh"
        super().__init__("\n".join(lines), fix=fix)


class RunBusyError(AetherflowError):
    """Another live process owns the run."""

    code = "AF3101"
    exit_code = 3


class StateError(AetherflowError):
    """The state store cannot be opened, read or written."""

    code = "AF4001"
    exit_code = 4


class LostOwnershipError(StateError):
    """Another process has taken over the run; this one must not write to it any more."""

    code = "AF4003"


class UntrustedError(StateError):
    """Somebody else could have written a state, a lock store, a ledger, a bundle store or the folders of runs."""

    code = "AF4004"


class OlderStateError(StateError):
    """The state lacks ends of runs that the run index knows: it was replaced by an older copy."""

    code = "AF4005"


class StepError(AetherflowError):
    """A step failed for a reason that the message explains."""

    code = "AF5001"


class StepInputError(StepError, ValueError):
    """Inputs that fail the step's model after rendering."""

    code = "AF5002"


class PathError(StepError, ValueError):
    """A path that leaves the allowed roots."""

    code = "AF5003"


class OutputError(StepError, ValueError):
    """Step outputs that cannot be stored: not JSON-safe, too large, or of another type than the step declares."""

    code = "AF5004"


class ProcessError(StepError, RuntimeError):
    """A child process failed: by its exit code, its time limit, or missing or wrong output files."""

    code = "AF5101"


class LimitExceededError(ProcessError):
    """A file takes more memory or CPU time to decode than one of its size is given, or has a record without end."""

    code = "AF5102"


class ItemsFailedError(StepError):
    """Items of a `for_each` with `on_error: continue` or `max_parallel` failed; its message names them."""

    code = "AF5008"


class UndecidedStepError(StepError):
    """A `once` step was interrupted; whether it had its effect is not known."""

    code = "AF5007"


class StepTimeoutError(StepError, TimeoutError):
    """An attempt did not end within its `timeout_seconds`."""

    code = "AF5006"


class StepCancelledError(StepError):
    """The run, or this attempt, is being ended; a step that polls `ctx.check_cancelled()` ends with this."""

    code = "AF5005"


class LockBusyError(StepError, RuntimeError):
    """Another run holds the lock, or is ahead in the queue; the message names it."""

    code = "AF5301"


class LeaseLostError(StepError, RuntimeError):
    """A lock was lost while the step worked under it; another run may have taken it."""

    code = "AF5302"


class ConnectorError(StepError, RuntimeError):
    """A peer or its driver failed. The driver's own error is the `__cause__`."""

    code = "AF5201"
