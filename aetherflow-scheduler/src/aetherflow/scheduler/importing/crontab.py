"""Makes items of the lines of crontabs. What cron does for a command is done by the item's command, in plain sight."""

import re
from pathlib import Path
from typing import NamedTuple

from aetherflow.core.embedding import Reason, is_secret_name, said
from aetherflow.scheduler.importing.crontab_text import Entry, NoEntry, Variable, as_logged, read_line
from aetherflow.scheduler.importing.drafts import Difference, Draft, Imported, Line, Names
from aetherflow.scheduler.importing.job_names import name_of
from aetherflow.scheduler.importing.prefixes import Lock, without_prefixes
from aetherflow.scheduler.importing.shell_text import tokens, without_ending
from aetherflow.scheduler.importing.times import cron_of_entry
from aetherflow.scheduler.time.parsing import read_zone

_PATH = "/usr/bin:/bin"
"""PATH of commands whose crontab sets none."""
_SHELL = "/bin/sh"
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "mksh", "zsh", "ash"})
_OF_MAIL = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
_OF_DELAY = frozenset({"RANDOM_DELAY", "START_HOURS_RANGE"})
_OURS = re.compile(r"(?:^|/)aetherflow-scheduler (?:run-item \S+ ([A-Za-z0-9._-]+)|tick )")
"""What starts an item of a scheduler document, and the id of the item."""
_RUNUSER = "/usr/sbin/runuser"


class Table(NamedTuple):
    """A crontab: its text, and whose it is."""

    name: str
    """The path of its file, as it was given."""
    text: str
    system: bool
    """Whether its lines name an account."""
    user: str | None
    """The account whose crontab it is, if it is known; only for one whose lines name none."""
    read: bool = True
    """False for a file that cron passes over."""


def read_table(path: Path, data: bytes, *, system: bool | None) -> Table:
    """A crontab of a file. `system` None: its lines name an account if it stands where such ones do."""
    folder = path.absolute().parent
    named = path.absolute() == Path("/etc/crontab") or folder.name == "cron.d"
    user = path.name if folder.name == "crontabs" else None
    passed = folder.name == "cron.d" and re.fullmatch(r"[A-Za-z0-9_-]+", path.name) is None
    text = data.decode("utf-8", "replace")
    return Table(
        "stdin" if str(path) == "-" else str(path), text, named if system is None else system, user, not passed
    )


class CrontabImport:
    """Imports crontabs into one document, for a scheduler that runs as an account; None: as whose crontab it is."""

    def __init__(self, zone: str, account: str | None) -> None:
        self.found = Imported(zone)
        self._account = account
        self._names = Names()
        self._locks: dict[str, str] = {}

    def add(self, table: Table) -> None:
        """Import one crontab: each of its lines is in the report."""
        reader = _Reader(self, table)
        for number, text in enumerate(table.text.removesuffix("\n").split("\n") if table.text else [], 1):
            line = Line(table.name, number, text.rstrip("\r"))
            self.found.lines.append(line)
            reader.take(line)
        reader.end()

    def is_own(self, user: str | None, *, system: bool) -> bool:
        """Whether a command of an account is one of the account that the scheduler runs as."""
        return user is None or user == (self._account or ("root" if system else user))

    def may_change(self, *, system: bool) -> bool:
        """Whether the scheduler may run commands of other accounts: it is root's."""
        return (self._account or ("root" if system else "")) == "root"

    def id_for(self, wish: str) -> str:
        """An id like the wish that no other item has."""
        return self._names.of(wish)

    def lock_for(self, file: str) -> str:
        """The key of a lock file: its name without folder and suffix, or the whole path where that is taken."""
        stem = Path(file).stem or file
        key = stem if self._locks.setdefault(stem, file) == file else file
        self._locks.setdefault(key, file)
        return key


class _Reader:
    """Reads one crontab from top to bottom: variables hold for the lines below them."""

    def __init__(self, whole: CrontabImport, table: Table) -> None:
        self._whole = whole
        self._table = table
        self._env: dict[str, str] = {}
        self._set: dict[str, Line] = {}
        self._zone: str | None = None
        self._comments: list[str] = []

    def take(self, line: Line) -> None:
        """Import one line, which stands in the report already."""
        text = line.text.strip(" \t")
        if not text:
            if self._comments:
                self._comments.append("")
        elif text.startswith("#"):
            line.became = "comment"
            self._comments.append(text[1:].removeprefix(" "))
        elif not self._table.read:
            line.leave(said(Difference.UNREAD))
        elif "\0" in text or "\ufffd" in text:
            line.leave(said(Difference.TEXT))
        else:
            self._read(line)

    def end(self) -> None:
        """The comments below the last entry stay behind it."""
        own = self._whole.found.tail
        own += self._trimmed()
        for name in self._set:
            self._account_for(name)

    def _account_for(self, name: str) -> None:
        """Tell of a variable that no item has used, up to the end or up to where it is set again."""
        line = self._set.get(name)
        if line is not None and name not in _OF_MAIL and not line.items and line.became == "setting":
            line.leave(said(Difference.NOTHING_SET, name=name))

    def _trimmed(self) -> list[str]:
        comments, self._comments = self._comments, []
        while comments and not comments[-1]:
            comments.pop()
        return comments

    def _read(self, line: Line) -> None:
        found = read_line(line.text, system=self._table.system)
        if isinstance(found, NoEntry):
            line.leave(said(Difference.ENTRY, why=found.why))
        elif isinstance(found, Variable):
            self._variable(line, found)
        else:
            self._entry(line, found)

    def _variable(self, line: Line, found: Variable) -> None:
        name, value = found
        line.became = "setting"
        self._account_for(name)
        self._set[name] = line
        if name == "MAILTO" and value:
            for each in re.split(r"[,\s]+", value.strip()):
                self._whole.found.mail_to[each] = None
            line.leave(said(Difference.MAIL, to=value))
        elif name in _OF_MAIL:
            if name != "MAILTO":
                line.reasons.append(said(Difference.NO_MAIL))
        elif name == "CRON_TZ":
            self._cron_tz(line, value)
        elif name in _OF_DELAY:
            line.leave(said(Difference.DELAY, name=name))
        elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
            line.leave(said(Difference.NAME, name=name))
        else:
            self._env[name] = value
            if value and is_secret_name(name):
                line.reasons.append(said(Difference.SECRET, name=name))

    def _cron_tz(self, line: Line, value: str) -> None:
        try:
            self._zone = read_zone(value).key
        except ValueError as error:
            line.leave(said(Difference.TIMES, error=error.args[0], fix=error.args[1]))
        else:
            line.reasons.append(said(Difference.CRON_TZ, zone=value))

    def _entry(self, line: Line, entry: Entry) -> None:
        user = entry.user or self._table.user
        if not (own := self._whole.is_own(user, system=self._table.system)) and not self._whole.may_change(
            system=self._table.system
        ):
            line.leave(said(Difference.OTHER_ACCOUNT, user=user))
            return
        cron, told = cron_of_entry(entry.times)
        if cron is None:
            line.leave(told[0])
            return
        line.became = "item"
        draft = Draft("", cron, [], comments=self._trimmed())
        text = self._shell_text(draft, line, entry.command)
        ours = _OURS.search(text)
        if ours is not None:
            line.reasons.append(said(Difference.OURS))
        wish = ours[1] if ours is not None and ours[1] else name_of(text)
        draft.id = self._whole.id_for(wish or Path(self._table.name).stem)
        line.items = [draft.id]
        for name, setting in self._set.items():
            if name in self._env or name == "CRON_TZ":
                setting.items.append(draft.id)
        if self._zone is not None and self._zone != self._whole.found.zone:
            draft.keys = {"timezone": self._zone, **draft.keys}
        account = [] if own else [_RUNUSER, "-u", user or "", "--"]
        if account:
            line.reasons.append(said(Difference.ACCOUNT, user=user))
        logged = as_logged(entry.command)
        draft.keys["replaces"] = f"({user}) CMD ({logged})" if user is not None else f"CMD ({logged})"
        draft.comments.append(f"{line.at}")
        draft.command = [*account, *self._environment(), *self._shell(text, entry.stdin)]
        if entry.stdin:
            told.append(said(Difference.INPUT, text=entry.stdin))
        line.reasons += told
        self._whole.found.drafts.append(draft)

    def _shell_text(self, draft: Draft, line: Line, command: str) -> str:
        """The command without what the item does itself; sets its keys, and tells what is different."""
        if Path(self._env.get("SHELL") or _SHELL).name not in _SHELLS:
            return command.strip()
        ending = without_ending(command)
        found = without_prefixes(ending.text)
        inner = without_ending(found.text) if found.text != ending.text else ending
        text = inner.text
        for each in (ending, inner):
            if each.comment and each.comment not in draft.comments:
                draft.comments.append(each.comment)
        if files := tuple(dict.fromkeys((*ending.logs, *inner.logs))):
            line.reasons.append(said(Difference.OUTPUT, files=", ".join(files)))
        if ending.background or inner.background or any(part.raw == "&" for part in tokens(text) or ()):
            line.reasons.append(said(Difference.BACKGROUND))
        if found.lock is not None:
            self._lock(draft, line, found.lock)
        if found.limit is not None:
            draft.keys["timeout_seconds"] = (
                whole if (whole := int(seconds := found.limit.seconds)) == seconds else seconds
            )
            if found.limit.signal is not None:
                line.reasons.append(said(Difference.SIGNAL, signal=found.limit.signal))
        return text

    def _lock(self, draft: Draft, line: Line, lock: Lock) -> None:
        key = self._whole.lock_for(lock.file)
        draft.keys |= {"lock": key, "overlap": "skip" if lock.at_once else "queue"}
        told: list[Reason] = [said(Difference.LOCK, key=key, file=lock.file)]
        if lock.at_once:
            told.append(said(Difference.NOT_AT_ONCE))
        elif lock.wait is not None:
            told.append(said(Difference.WAITS, seconds=lock.wait))
        line.reasons += told

    def _environment(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in ({"PATH": _PATH} | self._env).items())]

    def _shell(self, text: str, stdin: str | None) -> list[str]:
        """What cron does: the shell runs the text in the home folder, with the input if there is any."""
        shell = self._env.get("SHELL") or _SHELL
        given = f"exec <<'{(end := _delimiter(stdin))}'\n{stdin}{end}\n" if stdin else ""
        if Path(shell).name not in _SHELLS:
            return [_SHELL, "-c", f'cd || exit; {given}exec "$0" -c "$1"', shell, text]
        parts = tokens(text) or []
        moves = len(parts) > 1 and parts[0].raw == "cd" and (parts[1].value or "").startswith("/")
        return [shell, "-c", f"{'' if moves else 'cd || exit; '}{given}{text}"]


def _delimiter(stdin: str) -> str:
    word = "INPUT"
    while word in stdin.splitlines():
        word += "_"
    return word
