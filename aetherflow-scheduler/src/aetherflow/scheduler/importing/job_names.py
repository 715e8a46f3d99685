"""Names an item after the program that its command is about."""

import re
from pathlib import PurePosixPath

from aetherflow.scheduler.importing.shell_text import Token, tokens

_AROUND = """
    env nice ionice chrt sudo doas runuser su exec command nohup setsid flock timeout chronic cronic time run-one
    systemd-cat sh bash dash zsh ksh php python perl ruby node java uv poetry bundle xargs
"""
"""Programs that start another one, which is what the line is about."""
_CHECKS = """
    test [ [[ cd export set . source sleep true false : fi done esac for case } umask ulimit echo systemctl service
"""
"""What stands before the command that the line is about, or after it."""
_PREFIXES = "{ ( ! then do else if while"


def name_of(text: str) -> str | None:
    """A word for a command: that of its last part that is no check; None if it has none."""
    found = _name(text, frozenset(_CHECKS.split())) or _name(text, frozenset({"}", "["})) or ""
    return found if re.search(r"[A-Za-z0-9]", found) else None


def _name(text: str, checks: frozenset[str]) -> str | None:
    parts = tokens(text)
    if parts is None:
        parts = [Token("word", word, 0, 0, word) for word in text.split()]
    found: list[str] = []
    command: list[Token] = []
    for part in [*parts, Token("control", ";", 0, 0)]:
        if part.kind == "control":
            if (name := _of_command(command, checks)) is not None and (part.raw != "|" or not found):
                found.append(name)
            command = []
            if part.raw == "|":
                break  # what a pipe feeds is rarely what the line is about
        elif part.kind == "word":
            command.append(part)
    return found[-1] if found else None


def _of_command(words: list[Token], checks: frozenset[str]) -> str | None:
    plain = [word.value if word.value is not None else word.raw for word in words]
    while plain and (re.match(r"[A-Za-z_]\w*=", plain[0]) or plain[0] in _PREFIXES.split()):
        plain.pop(0)
    if not plain or (program := PurePosixPath(plain[0]).name) in checks:
        return None
    rest = [word for word in plain[1:] if not word.startswith("-")]
    if program == "run-parts":
        return rest[-1].rpartition("/")[2] if rest else program
    around = frozenset(_AROUND.split())
    base = re.sub(r"[0-9.]+\Z", "", program)
    if {program, base} & around:
        if (text := _argument_of(plain, "-c")) is not None and (name := name_of(text)) is not None:
            return name
        for word in rest:
            name = PurePosixPath(word).name
            if re.match(r"[A-Za-z_.][\w.-]*\Z", name) and name not in around and "=" not in word:
                return _stem(name)
        return _stem(program)
    return _stem(program)


def _argument_of(words: list[str], option: str) -> str | None:
    at = words.index(option) + 1 if option in words else len(words)
    return words[at] if at < len(words) else None


def _stem(name: str) -> str:
    return re.sub(r"\.(sh|bash|py|pl|php|rb|js|jar|cron)\Z", "", name) or name
