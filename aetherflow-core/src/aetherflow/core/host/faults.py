"""The places at which third-party plugins raised errors: package, file and line."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import takewhile
from types import FrameType, TracebackType

from aetherflow.core.base.errors import AetherflowError
from aetherflow.core.base.location import DocPath, Location, format_path
from aetherflow.core.base.problems import Problem
from aetherflow.core.host.first_party import first_party
from aetherflow.core.host.metadata import PluginEntry, installed_in
from aetherflow.core.host.names import LEGACY, WORDS
from aetherflow.core.host.registering import MODULE_PREFIX
from aetherflow.core.kernel.sequencing.failure import RAISED_AT, fix_of, message_of

_BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, NotImplementedError, TypeError)
"""Errors of Python that no other setting, statement or path of a user mends."""


def note_place(error: BaseException, module: str = "", source: str = "") -> str:
    """The traceback of an error from the first frame of the third-party plugin that raised it; empty if none did.

    Notes package, file and line on the error, for `message_of`. A plugin that raises an error of ours says itself what
    is wrong. `module` is of a plugin too, that of `source`, whatever the entry points say.
    """
    for each in _shown(error):
        if hasattr(each, RAISED_AT):
            return ""  # the place is in the message already
        at = _raised_at(each, module, source)
        if at is None:
            continue
        if isinstance(each, AetherflowError):
            return ""
        package = _package_of(_module(at), module, source) or ""
        with suppress(AttributeError):  # its type has slots
            setattr(error, RAISED_AT, ", ".join(filter(None, (package, _place(at.tb_frame, at.tb_lineno)))))
            if package and isinstance(each, _BUGS):
                error.fix = f"report it to the authors of {package}"  # type: ignore[attr-defined]
        if each is not error and isinstance(each, OSError):
            return ""  # a server or a network that fails, which no traceback explains
        first = next(at for at in _frames(each) if _package_of(_module(at), module, source) is not None)
        return "".join(traceback.format_exception(type(each), each, first))
    return ""


def place_of(error: BaseException) -> str:
    """The place in a third-party plugin that raised an error, in brackets after a blank; empty if none did."""
    note_place(error)
    place = getattr(error, RAISED_AT, "")
    return f" ({place})" if place else ""


def executed_in(frame: FrameType | None) -> str:
    """The place in a third-party plugin that a frame, or one that has called it, is at; as `place_of` gives it."""
    lines = []
    while frame is not None:
        lines.append((frame, frame.f_lineno))
        frame = frame.f_back
    return _innermost(lines)


def stopped_in(error: KeyboardInterrupt) -> str:
    """The place in a third-party plugin that was stopped, whichever handler of the signal raised the error."""
    return _innermost([(at.tb_frame, at.tb_lineno) for at in _frames(error)][::-1])


def _innermost(lines: Iterable[tuple[FrameType, int]]) -> str:
    for frame, line in lines:
        if (package := _package_of(_name(frame), "", "")) is not None:
            return f" ({', '.join(filter(None, (package, _place(frame, line))))})"
    return ""


def message_with_place(error: BaseException) -> str:
    """The message of an error, with the place in the third-party plugin that raised it."""
    note_place(error)
    return message_of(error)


def fault_problem(what: str, error: Exception, at: Location, path: DocPath) -> Problem:
    """The finding that the code of a plugin failed while a document was checked."""
    message = f"{what}: {message_with_place(error)}"
    fix = fix_of(error) or "report it to the authors of the plugin"
    return Problem("AF2102", message, at, format_path(path), "semantic:plugin", fix)


def _shown(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, as a traceback shows them."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _raised_at(error: BaseException, module: str, source: str) -> TracebackType | None:
    """The frame that raised an error, libraries left out, if it is of a third-party plugin.

    None for what a plugin has called of ours, such as a file on a full disk: the message names that.
    """
    for at in reversed(list(_frames(error))):
        if _package_of(_module(at), module, source) is not None:
            return at
        if _top(_module(at)) in _packages().ours:
            return None
    return None


def _frames(error: BaseException) -> Iterator[TracebackType]:
    at = error.__traceback__
    while at is not None:
        yield at
        at = at.tb_next


def _module(at: TracebackType) -> str:
    return _name(at.tb_frame)


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _package_of(name: str, module: str, source: str) -> str | None:
    """The package and version of a module of a third-party plugin, empty if it has none; None for any other module."""
    top, known = _top(name), _packages()
    if top in known.ours:
        return None
    if top.startswith(MODULE_PREFIX):
        return ""
    if top == _top(module):
        return source
    near = max(known.theirs.get(top, ()), key=lambda entry: _shared(_target(entry), name), default=None)
    return near.source if near else None


def _shared(one: str, other: str) -> int:
    """Return the number of packages that two modules share: distributions may have parts of one namespace."""
    same = (a == b for a, b in zip(one.split("."), other.split("."), strict=False))
    return sum(1 for _ in takewhile(bool, same))


class _Packages:
    """The installed plugins by the packages, in the sense of Python, that their entry points name."""

    def __init__(self) -> None:
        self.ours = {"aetherflow"}
        self.theirs: dict[str, list[PluginEntry]] = {}
        for entry in installed_in(*WORDS, LEGACY):
            if entry.distribution in first_party():
                self.ours.add(_top(_target(entry)))
            else:
                self.theirs.setdefault(_top(_target(entry)), []).append(entry)


@cache
def _packages() -> _Packages:
    return _Packages()


def _target(entry: PluginEntry) -> str:
    return entry.target.partition(":")[0].strip()


def _top(name: str) -> str:
    return name.partition(".")[0]


def _place(frame: FrameType, line: int) -> str:
    """File and line, the file from its package on."""
    path = frame.f_code.co_filename
    parts = _name(frame).count(".") + 1 + path.endswith("__init__.py")
    return f"{'/'.join(path.split('/')[-parts:])}:{line}"
