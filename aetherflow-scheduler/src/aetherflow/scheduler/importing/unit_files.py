"""Reads units of systemd: sections, settings, continued lines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.api import UsageError
from aetherflow.core.embedding import said
from aetherflow.scheduler.importing.drafts import Difference, Line
from aetherflow.scheduler.importing.reading import read_file

_KINDS = (".timer", ".service")
_LISTS = frozenset({"OnCalendar", "ExecStart", "ExecStartPre", "ExecStartPost", "Environment", "EnvironmentFile"})
"""Keys of which several lines count."""


class Setting(NamedTuple):
    """One setting of a unit."""

    section: str
    key: str
    value: str
    line: Line
    """Its first line in the report."""
    more: tuple[Line, ...]
    """Lines on which it goes on."""


@dataclass(slots=True)
class Unit:
    """A unit of systemd: a file with settings in sections."""

    path: Path
    lines: list[Line] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the file, as systemd calls the unit: `backup.timer`."""
        return self.path.name

    def all(self, section: str, key: str) -> list[Setting]:
        """The settings of a key in their order; an empty one takes back those before it."""
        found: list[Setting] = []
        for each in self.settings:
            if (each.section, each.key) == (section, key):
                found = [*found, each] if each.value else []
        return found

    def counts(self, setting: Setting) -> bool:
        """Whether no later line of the same key takes its place."""
        own = self.all(setting.section, setting.key)
        return setting in own if setting.key in _LISTS else own[-1:] == [setting]

    def last(self, section: str, key: str) -> Setting | None:
        """The setting that counts where one is all there can be."""
        found = self.all(section, key)
        return found[-1] if found else None


def find_units(paths: Iterable[Path]) -> list[Unit]:
    """The units of the files, and those that belong to them and stand beside them."""
    found: dict[Path, Unit] = {}
    for path in paths:
        if path.suffix not in _KINDS:
            raise UsageError(f"{path} is no timer and no service", fix="name files *.timer or *.service")
        found.setdefault(path.absolute(), read_unit(path))
    for unit in list(found.values()):
        beside = _other(unit)
        if beside.absolute() not in found and beside.is_file():
            found[beside.absolute()] = read_unit(beside)
    return list(found.values())


def service_of(timer: Unit) -> str:
    """The name of the unit that a timer starts."""
    named = timer.last("Timer", "Unit")
    return named.value if named is not None else f"{timer.path.stem}.service"


def _other(unit: Unit) -> Path:
    if unit.path.suffix == ".timer":
        return unit.path.with_name(service_of(unit))
    return unit.path.with_suffix(".timer")


def read_unit(path: Path) -> Unit:
    """Read one file; a line that cannot be read is a setting of no section."""
    unit, section = Unit(path), ""
    texts = iter(enumerate(_texts(path), 1))
    for number, text in texts:
        line = Line(str(path), number, text)
        unit.lines.append(line)
        plain = text.strip()
        if not plain:
            continue
        if plain[0] in "#;":
            line.became = "comment"
        elif plain.startswith("[") and plain.endswith("]"):
            section, line.became = plain[1:-1], "setting"
        else:
            more = list(_continued(unit, plain, texts))
            whole = " ".join(each.text.strip().removesuffix("\\").strip() for each in (line, *more)).strip()
            key, mark, value = whole.partition("=")
            if not mark or not section:
                for each in (line, *more):
                    each.leave(said(Difference.NO_SETTING))
                continue
            unit.settings.append(Setting(section, key.strip(), value.strip(), line, tuple(more)))
    return unit


def _texts(path: Path) -> list[str]:
    return read_file(path).decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\n").split("\n")


def _continued(unit: Unit, text: str, texts: Iterator[tuple[int, str]]) -> Iterator[Line]:
    """The lines on which a setting goes on; comments between them are left out."""
    while text.endswith("\\"):
        found = next(texts, None)
        if found is None:
            return
        line = Line(str(unit.path), *found)
        unit.lines.append(line)
        if found[1].strip()[:1] in ("#", ";"):
            line.became = "comment"
            continue
        text = found[1].strip()
        yield line
