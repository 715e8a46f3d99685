"""Reading env files: dotenv, JSON, a folder of files. Every value keeps the file and line that it came from."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec

MAX_BYTES = 4 * 1024 * 1024

_ASSIGNMENT = re.compile(r"(?:export\s+)?([^=\s]+)\s*=\s*(.*)\Z", re.DOTALL)
_COMMENT = re.compile(r"(?<!\S)#.*\Z", re.DOTALL)
_SPACE = re.compile(r"[\s,]*")
_LINE_END = re.compile(r"\r\n?|\n")


class EnvValue(NamedTuple):
    """A value read from a file, with its location."""

    key: str
    value: str
    location: Location


def read_env_file(spec: EnvFileSpec, base: Path, listed_at: Location) -> list[EnvValue]:
    """Read one env file; a relative path is resolved against `base`.

    A missing file is an error at `listed_at` unless it is optional. Raises SpecError with all bad lines together.
    """
    path = base / Path(spec.path).expanduser()
    if not path.exists():
        if spec.optional:
            return []
        fix = "create it, correct the path, or mark it `optional: true`"
        raise SpecError([Problem("AF1501", f"env file {path} does not exist", listed_at, code="env:missing", fix=fix)])
    reader = {"dotenv": _dotenv, "json": _json, "dir": _folder}[spec.type]
    problems: list[Problem] = []
    try:
        found = [EnvValue(spec.prefix + key, value, at) for key, value, at in reader(path, problems)]
    except UnicodeDecodeError as error:
        raise _unusable("AF1504", f"env file {path} is not UTF-8 (byte {error.start})", Location(str(path))) from None
    except OSError as error:
        raise _unusable("AF1504", f"env file {path} cannot be read: {error.strerror}", listed_at) from error
    problems.extend(
        _bad_line(item.location, "a null byte, which no environment can hold", "remove it")
        for item in found
        if "\0" in item.key + item.value
    )
    problems.extend(
        _bad_line(item.location, "the name of a key is empty or holds '='", "rename it")
        for item in found
        if not item.key or "=" in item.key
    )
    if problems:
        raise SpecError(problems)
    return found


def _dotenv(path: Path, problems: list[Problem]) -> Iterator[EnvValue]:
    for number, line in enumerate(_LINE_END.split(_text(path)), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        at = Location(str(path), number, len(line) - len(line.lstrip()) + 1)
        match = _ASSIGNMENT.match(text)
        if match is None:
            problems.append(_bad_line(at, "not KEY=value", "write KEY=value, or start the line with #"))
            continue
        key, raw = match.groups()
        if raw[:1] in ("'", '"'):
            end = re.compile(rf"(.*?){raw[0]}\s*(?:\s#.*)?\Z", re.DOTALL).match(raw, 1)
            if end is None:
                problems.append(_bad_line(at, "the quote is not closed on its line", "close it, or drop it"))
                continue
            yield EnvValue(key, end[1], at)
        else:
            yield EnvValue(key, _COMMENT.sub("", raw).rstrip(), at)


def _json(path: Path, problems: list[Problem]) -> Iterator[EnvValue]:
    text = _text(path)
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        problems.append(_bad_line(Location(str(path)), "nested too deeply", "flatten the value"))
        return
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        at = Location(str(path), line, column)
        problems.append(_bad_line(at, f"not JSON: {getattr(error, 'msg', error)}", "correct the file"))
        return
    if not isinstance(data, dict):
        problems.append(_bad_line(Location(str(path)), "json env file must be a JSON object", 'write {"KEY": "value"}'))
        return
    line, counted = 1, 0
    for key, position in _json_keys(text):
        line, counted = line + text.count("\n", counted, position), position
        if (value := data[key]) is not None:
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
            yield EnvValue(key, shown, Location(str(path), line, position - text.rfind("\n", 0, position)))


def _json_keys(text: str) -> Iterator[tuple[str, int]]:
    """The keys of a JSON object with their offsets; `text` must be a valid object."""
    decoder = json.JSONDecoder()
    position = _SPACE.match(text, text.index("{") + 1).end()  # type: ignore[union-attr]  # it matches everywhere
    while text[position] != "}":
        key, end = decoder.raw_decode(text, position)
        yield key, position
        value = _SPACE.match(text, text.index(":", end) + 1).end()  # type: ignore[union-attr]
        _, end = decoder.raw_decode(text, value)
        position = _SPACE.match(text, end).end()  # type: ignore[union-attr]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counts.most_common(1)[0][0]!r} is given twice")
    return found


def _folder(path: Path, problems: list[Problem]) -> Iterator[EnvValue]:
    if not path.is_dir():
        problems.append(_bad_line(Location(str(path)), "is not a folder", "use type dotenv or json for a file"))
        return
    for file in sorted(path.iterdir()):
        if file.is_file():  # also through a link, as Kubernetes mounts secrets
            yield EnvValue(file.name, _text(file).rstrip("\r\n"), Location(str(file)))


def _text(path: Path) -> str:
    if path.is_dir() or not path.is_file():
        raise IsADirectoryError(0, "not a regular file", str(path))
    if path.stat().st_size > MAX_BYTES:
        raise OSError(0, f"larger than {MAX_BYTES // 2**20} MiB", str(path))
    return path.read_bytes().decode("utf-8-sig")


def _bad_line(at: Location, what: str, fix: str) -> Problem:
    return Problem("AF1502", f"env file: {what}", at, code="env:syntax", fix=fix)


def _unusable(af: str, message: str, at: Location) -> SpecError:
    return SpecError(
        [Problem(af, message, at, code="env:unreadable", fix="save it as UTF-8 text that this user may read")]
    )
