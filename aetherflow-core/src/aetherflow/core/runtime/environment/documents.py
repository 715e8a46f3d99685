"""Reading documents from files; the kernel only parses text."""

from pathlib import Path

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.kernel.yaml.loader import DEFAULT_LIMITS, Document, Limits, parse_document, refused


def load_document(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Document:
    """Read and parse one YAML file.

    Raises SpecError with one located problem when the file is missing, is no file, cannot be read, is not UTF-8, is
    empty, is too large, or is not strict YAML.
    """
    file = str(path)
    return parse_document(_decoded(_read(Path(path), file, limits.size), file), file, limits)


def load_stdin(limits: Limits = DEFAULT_LIMITS) -> Document:
    """Read stdin to its end and parse it; SpecError as from `load_document`, with `stdin` as the file."""
    with open(0, "rb", closefd=False) as stream:
        raw = stream.read(limits.size + 1)
    if len(raw) > limits.size:
        raise refused("AF1006", f"is larger than {limits.size / 2**20:g} MiB", Location("stdin"), "write less to it")
    if not raw.strip():  # its writer was killed, or there is none
        fix = "write `NAME: VALUE` lines to it, or leave out `--param -`"
        raise refused("AF1007", "is empty", Location("stdin"), fix)
    return parse_document(_decoded(raw, "stdin"), "stdin", limits)


def _where(path: Path) -> str:
    """What to check about a path to nothing: its first folder that is not there, if one is not."""
    missing = [each for each in path.parents if not each.exists()]
    if missing:
        return f"check the path: there is no folder {missing[-1]}"
    return "check the path" if path.is_absolute() else "check the path and the folder that you are in"


def _read(path: Path, file: str, most: int) -> bytes:
    at = Location(file)
    try:
        if path.is_dir():
            raise refused(
                "AF1002", "is a directory, not a document", at, f"name the file: {file.rstrip('/')}/flow.yaml"
            )
        if path.exists() and not path.is_file():
            raise refused("AF1003", "is not a regular file", at, "name a regular file")
        if path.exists() and path.stat().st_size > most:
            raise refused("AF1006", f"is larger than {most / 2**20:g} MiB", at, "split the flow")
        return path.read_bytes()
    except FileNotFoundError:
        raise refused("AF1001", "no such file", at, _where(path)) from None
    except SpecError:
        raise  # it is also a ValueError
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refused("AF1003", f"cannot be read: {reason}", at, "check the path and its permissions") from None


def _decoded(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8-sig")) + 1
        at = Location(file, before.count(b"\n") + 1, column)
        raise refused("AF1008", "is not UTF-8", at, "save the file as UTF-8") from None
