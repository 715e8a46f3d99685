"""Which lines of a dotenv file version 0.9 read otherwise. No value is shown: it may be a secret."""

from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.errors import SpecError
from aetherflow.core.base.location import Location
from aetherflow.core.contracts.upgrade import Difference
from aetherflow.core.runtime.environment.envfiles import read_env_file
from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec

_QUOTES = ("'", '"')


def dotenv_differences(spec: EnvFileSpec, base: Path, listed_at: Location) -> Iterator[tuple[Location, Difference]]:
    """The differences of one env file, each at its line; none for a file that cannot be read, which is reported."""
    if spec.type != "dotenv":
        return
    try:
        now = read_env_file(spec.model_copy(update={"prefix": ""}), base, listed_at)
        lines = (base / Path(spec.path).expanduser()).read_text(encoding="utf-8").splitlines() if now else []
    except (SpecError, OSError, UnicodeDecodeError):
        return
    for item in now:
        number = item.location.line
        before = _before(lines[number - 1]) if number <= len(lines) else None
        if before is None:
            continue
        key, value = before
        if key != item.key:
            told = Difference((item.key,), f"the key was {key!r}", f"it is {item.key!r}", "nothing")
            yield item.location, told
        elif value != item.value:
            told = Difference(
                (item.key,),
                "the value was the rest of the line",
                "it ends before ` #`, where a comment begins",
                f"{item.key}='…', in quotes, where the rest belongs to it",
            )
            yield item.location, told


def _before(line: str) -> tuple[str, str] | None:
    text = line.strip()
    if not text or text.startswith("#") or "=" not in text:
        return None
    key, _, value = (part.strip() for part in text.partition("="))
    if len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES:
        value = value[1:-1]
    return (key, value) if key else None
