"""Makes the command of an item of a service of systemd."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from aetherflow.core.embedding import is_secret_name, said
from aetherflow.scheduler.importing.drafts import Difference
from aetherflow.scheduler.importing.exec_lines import as_shell, has_variables, plain, seconds_of, words_of
from aetherflow.scheduler.importing.unit_files import Setting, Unit

_SHELL = "/bin/sh"
_RUNUSER = "/usr/sbin/runuser"
_ENDLESS = {"infinity", "0", ""}


@dataclass(slots=True)
class Program:
    """What an item runs in place of a service."""

    command: list[str]
    keys: dict[str, Any] = field(default_factory=dict)
    item: str | None = None
    """The id, where the service starts an item of a scheduler document."""


def read_service(service: Unit, account: str | None) -> Program | None:
    """The command of a service; None if it has none that can be read. Tells its lines what differs."""
    lines = [
        _read(each) for key in ("ExecStartPre", "ExecStart", "ExecStartPost") for each in service.all("Service", key)
    ]
    main = service.all("Service", "ExecStart")
    if not main or any(words is None for words in lines):
        return None
    commands = [words for words in lines if words]
    found = Program(_command(service, commands))
    if len(commands) > 1:
        main[0].line.reasons.append(said(Difference.CHAIN, count=len(commands)))
    user = service.last("Service", "User")
    if user is not None and user.value != (account or "root"):
        found.command = [_RUNUSER, "-u", user.value, "--", *found.command]
        user.line.reasons.append(said(Difference.ACCOUNT, user=user.value))
    _limit(service, found)
    words = commands[-1]
    if "run-item" in words[:-2] and PurePosixPath(words[0]).name == "aetherflow-scheduler":
        found.item = words[words.index("run-item") + 2]
        main[-1].line.reasons.append(said(Difference.OURS))
    return found


def _read(setting: Setting) -> list[str] | None:
    """The words of a line; None, with the reason, for prefixes and specifiers that only systemd understands."""
    match = re.match(r"[-@:+!|]*", setting.value)
    marks = match[0] if match is not None else ""
    words = words_of(setting.value[len(marks) :])
    if not words or set(marks) - {"-", ":"} or any(word == ";" for word in words):
        setting.line.leave(said(Difference.SPECIFIER, text=setting.value))
        return None
    if "-" in marks:
        setting.line.reasons.append(said(Difference.FAILS))
    return [word.replace("$", "$$") for word in words] if ":" in marks else words


def _command(service: Unit, commands: list[list[str]]) -> list[str]:
    folder = service.last("Service", "WorkingDirectory")
    place = (folder.value if folder is not None else "/").removeprefix("-")
    env = _environment(service)
    nice = service.last("Service", "Nice")
    before = ["nice", "-n", nice.value] if nice is not None else []
    files = service.all("Service", "EnvironmentFile")
    mask = service.last("Service", "UMask")
    if len(commands) == 1 and not files and mask is None and place != "~" and not has_variables(commands[0]):
        return ["env", f"--chdir={place}", *env, *before, *plain(commands[0])]
    parts = [f"umask {mask.value}"] if mask is not None else []
    parts += [_sourced(each) for each in files]
    parts.append("cd" if place == "~" else f"cd {shlex.quote(place)}")
    parts += [as_shell([*before, *words]) for words in commands]
    return [*(["env", *env] if env else ()), _SHELL, "-c", " && ".join(parts)]


def _sourced(setting: Setting) -> str:
    file = setting.value.removeprefix("-")
    setting.line.reasons.append(said(Difference.ENV_FILE, file=file))
    word = shlex.quote(file)
    read = f"{{ set -a; . {word}; set +a; }}"
    return f"{{ test ! -r {word} || {read}; }}" if setting.value.startswith("-") else read


def _environment(service: Unit) -> list[str]:
    found: dict[str, str] = {}
    for each in service.all("Service", "Environment"):
        words = words_of(each.value)
        if words is None or any(not re.match(r"[A-Za-z_]\w*=", word, re.ASCII) for word in words):
            each.line.leave(said(Difference.SPECIFIER, text=each.value))
            continue
        given = {name: value for name, _, value in (word.partition("=") for word in words)}
        each.line.reasons += [
            said(Difference.SECRET, name=name) for name in given if given[name] and is_secret_name(name)
        ]
        found |= given
    return [f"{name}={value}" for name, value in found.items()]


def _limit(service: Unit, found: Program) -> None:
    kind = service.last("Service", "Type")
    oneshot = kind is not None and kind.value == "oneshot"
    limits = [service.last("Service", "RuntimeMaxSec")]
    if oneshot:  # of other types it limits the start alone
        limits.append(service.last("Service", "TimeoutStartSec"))
    for limit in limits:
        if limit is None or limit.value in _ENDLESS:
            continue
        seconds = seconds_of(limit.value)
        if seconds is None:
            limit.line.leave(said(Difference.SPECIFIER, text=limit.value))
        else:
            found.keys["timeout_seconds"] = int(seconds) if seconds == int(seconds) else seconds
