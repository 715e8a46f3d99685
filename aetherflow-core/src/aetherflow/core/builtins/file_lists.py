"""The files that a step is given: paths, patterns, records of `file_find`, or the JSON text of a list of these."""

import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator

from aetherflow.core.api import Holds, PathError, PlainText, RunContext, StepError
from aetherflow.core.builtins.globbing import find, has_wildcard, split_pattern

SHOWN = 20
"""Files that a message or a plan names."""
NAMES_FIX = "give a path, a pattern, or a list of paths or of maps with `path`"


class GivenPath(NamedTuple):
    """One given item: a text, which may be a pattern, or the path of a record (with `rel`), which never is one."""

    path: str
    rel: str | None = None


class FoundFile(NamedTuple):
    """A file to process; `rel` is its path below the fixed part of the pattern, or below the folder of `file_find`."""

    path: Path
    rel: str


def parse_list(value: Any) -> Any:
    """A list as it is, a text that is a JSON list parsed, any other text or map as a list of one."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            try:
                found = json.loads(value)
            except (ValueError, RecursionError):
                found = None  # a pattern may begin with a bracket
            if isinstance(found, list):
                return found
        return [value]
    return [value] if isinstance(value, Mapping) else value


def _given(value: Any) -> Any:
    value = parse_list(value)
    if not isinstance(value, list):
        raise ValueError(NAMES_FIX)
    return [_one(item) for item in value]


def _one(item: Any) -> GivenPath:
    if isinstance(item, GivenPath):
        return item
    rel = None
    if isinstance(item, Mapping):
        item, rel = item.get("path"), item.get("rel_path")
    if not isinstance(item, str) or not item or not isinstance(rel, str | None):
        raise ValueError(NAMES_FIX)
    return GivenPath(item, rel)


Files = Annotated[
    list[Annotated[Any, Holds.READS]], BeforeValidator(_given, json_schema_input_type=str | list[str | dict[str, Any]])
]
"""Each item is a `GivenPath`."""
Texts = Annotated[list[PlainText], BeforeValidator(parse_list, json_schema_input_type=list[str] | str)]
Role = Literal["read", "write"]


def locate(ctx: RunContext, job_id: str, path: str, role: Role) -> Path:
    """Absolute path inside the sandbox; PathError for a link, whatever the sandbox allows."""
    found = ctx.write_path(path) if role == "write" else ctx.read_path(path)
    if (ctx.artifacts_dir(job_id) / path).is_symlink():
        raise PathError(f"a symbolic link is not followed: {path}", fix="name the file itself")
    return found


def list_files(
    ctx: RunContext, job_id: str, given: Sequence[GivenPath], *, role: Role, exclude: Sequence[str] = ()
) -> tuple[list[FoundFile], list[str]]:
    """The files, each once and sorted within each pattern, and the plain paths that do not exist.

    A folder is listed as itself, not its content. Raises PathError, StepError.
    """
    files: dict[Path, FoundFile] = {}
    missing = []
    for item in given:
        path = locate(ctx, job_id, item.path, role)
        if item.rel is None and has_wildcard(item.path) and not path.exists():
            base, pattern = split_pattern(item.path)
            folder = locate(ctx, job_id, base, role)
            if not folder.is_dir():
                raise StepError(f"no such folder: {base}", fix="check it; a pattern is searched below its fixed part")
            for found in _matches(folder, pattern, exclude):
                files.setdefault(found.path, found)
        elif path.exists():
            files.setdefault(path, FoundFile(path, item.rel or path.name))
        else:
            missing.append(item.path)
    return list(files.values()), missing


def _matches(folder: Path, pattern: str, exclude: Sequence[str]) -> Iterator[FoundFile]:
    yield from sorted(
        (FoundFile(each.path, each.rel) for each in find(folder, [pattern], exclude)), key=lambda x: x.rel
    )


def below(ctx: RunContext, job_id: str, paths: Sequence[str | Path]) -> list[str]:
    """Paths for messages: those below the job's artifacts as relative paths."""
    folder = ctx.artifacts_dir(job_id)
    return [str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else str(path) for path in paths]


def shown(names: Sequence[object]) -> str:
    """The first SHOWN names as text, and the number of the others."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


def counted(number: int) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} file{'s' if number != 1 else ''}"


def only_files(files: Sequence[FoundFile], fix: str) -> None:
    """StepError if one of these is a folder, with `fix`, or a pipe, a socket or a device."""
    for each in files:
        mode = each.path.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            is_folder = stat.S_ISDIR(mode)
            what = f"not a file but a {kind_of_mode(mode)}: {each.path}"
            raise StepError(what, fix=fix if is_folder else "leave it out, with exclude or another pattern")


def kind_of_mode(mode: int) -> str:
    """What a file mode stands for, in words."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFLNK: "symbolic link"}
    return kinds.get(stat.S_IFMT(mode), "device")


def require_all(missing: Sequence[str]) -> None:
    """StepError if a plain path does not exist."""
    if missing:
        raise StepError(f"no such file: {shown(missing)}", fix="check the path, or the step that should have made it")
