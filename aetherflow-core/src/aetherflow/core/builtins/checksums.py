r"""Lines as `sha256sum` writes and reads them: checksum, two blanks, name.

A name with a backslash or a line break is escaped, and its line begins with a backslash; a `*` before the name means
that the file was read as binary, which is the same here.
"""

import re
from pathlib import Path

from aetherflow.core.api import StepError

_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def as_line(digest: str, name: str) -> str:
    """One line, with its line break."""
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in name)
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n"


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Checksum and name of every line; StepError for a file without checksums, or with a line that is not one."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise StepError(f"no file of checksums: {path} is not UTF-8", fix="name a file that sha256sum wrote") from None
    found, wrong = [], []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        name = _unescaped(match[3]) if match and match[1] else match[3] if match else None
        if match is None or name is None:
            wrong.append(str(number))
        else:
            found.append((match[2].lower(), name))
    if wrong:
        message = f"{path}: no checksum in line {', '.join(wrong[:20])}"
        raise StepError(message, fix="each line is a sha256 in 64 hexadecimal digits, two blanks, a file name")
    if not found:
        raise StepError(f"{path} holds no checksum", fix="name a file that sha256sum wrote")
    return found


def _unescaped(name: str) -> str | None:
    letters = {"\\": "\\", "n": "\n", "r": "\r"}
    if any(match[1] not in letters for match in _ESCAPED.finditer(name)):
        return None
    return _ESCAPED.sub(lambda match: letters[match[1]], name)
