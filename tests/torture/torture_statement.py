"""Days of a schedule that are signed, what is honestly done after it, and edits that a statement has to show."""

import contextlib
import datetime as dt
import io
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.scheduler.audit.statement import TABLES
from aetherflow.scheduler.cli import main
from old_data import as_of_1_0_0
from scheduler_bench import Bench
from torture_chain import edits as state_edits
from torture_chain import other_value
from warm import forking

FIRST = dt.date(2026, 3, 2)
ITEMS = ("one", "two")
DAY = dt.timedelta(days=1)


class SignedDays:
    """A schedule with flows `one` and `two`, whose days are run and signed, one after the other."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.bench, self.random, self.days = bench, random.Random(name), list[dt.date]()
        bench.enter(monkeypatch)
        for variable, value in forking().items():
            monkeypatch.setenv(variable, value)
        for item in ITEMS:
            bench.flow(["sh", "-c", f"test ! -e {bench.folder}/fail-{item}"], item)
        since = f"{FIRST} 00:00"
        bench.schedule_of(
            *({"id": item, "flow": f"{item}.yaml", "cron": "0 2 * * *", "since": since} for item in ITEMS)
        )
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", bench.folder / "key"], check=True)
        words = (bench.folder / "key.pub").read_text().split()[:2]
        bench.write(f'audit namespaces="aetherflow-audit" {" ".join(words)}\n', "signers")
        bench.command("tick", "scheduler.yaml", "-q", code=None)

    def day(self) -> None:
        """Run the slots of the next day, some of them in vain, and sign it; on the first day 1.0.0 ran item one."""
        day = FIRST + len(self.days) * DAY
        for item in ITEMS:
            if not self.days and item == ITEMS[1]:
                self._put_back()
            fails = self.bench.folder / f"fail-{item}"
            if self.random.random() < 0.3 or (not self.days and item == ITEMS[0]):
                fails.touch()
            span = ("--from", f"{day}", "--to", f"{day + DAY}", "-q")
            self.bench.command("backfill", "scheduler.yaml", item, *span, code=1 if fails.exists() else 0)
            fails.unlink(missing_ok=True)
        key = ("--sign", "key", "--out", f"{day}.json")
        self.bench.command("audit", "scheduler.yaml", "--date", f"{day}", *key)
        self.days.append(day)

    def _put_back(self) -> None:
        """What the night has left so far is as 1.0.0 would have left it, and is migrated."""
        states, data = self.bench.folder / "state", "home/.local/state/aetherflow/state"
        as_of_1_0_0(self.bench.folder / "ledger.sqlite", "ledger/scheduler.sqlite")
        as_of_1_0_0(states / "engine/registry.sqlite", f"{data}/registry.sqlite")
        as_of_1_0_0(states / f"{ITEMS[0]}.sqlite", f"{data}/good.sqlite")
        self._core("state", "migrate", str(states / f"{ITEMS[0]}.sqlite"))  # the next slot migrates the others

    def findings(self) -> list[str]:
        """Of all statements, with ledger and states; whatever they are like, the answer is one line each."""
        names = [word for day in self.days for word in ("--verify", f"{day}.json")]
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            main(["audit", "scheduler.yaml", *names, "--signers", "signers"])
        assert "Traceback" not in errors.getvalue(), errors.getvalue()
        good = "it holds; ledger and states say the same" in out.getvalue()
        return [] if good else [out.getvalue(), errors.getvalue()]

    # What is honestly done

    def deed(self) -> str:
        """Something of a day after a night; says what."""
        chosen = self.random.choice(
            (self._pruned, self._runs_pruned, self._restored, self._copied, self._resumed, self._again, self._settled)
        )
        chosen(self.random.choice(ITEMS))
        return chosen.__name__

    def _pruned(self, _item: str) -> None:
        self.bench.command("prune", "scheduler.yaml", "--before", f"{self.days[-1]}")

    def _core(self, *words: str) -> None:
        from aetherflow.core.cli.app import main as core_main

        assert core_main([*words]) in (0, 1, 2), words

    def _runs_pruned(self, item: str) -> None:
        self._core("runs", "prune", "--flow", item, "--keep-last", "2")

    def _restored(self, item: str) -> None:
        saved = str(self.bench.folder / f"saved-{self.random.random()}.tar")
        self._core("state", "backup", "--flow", item, "--to", saved)
        self._core("state", "restore", "--flow", item, "--from", saved, "--yes")

    def _copied(self, _item: str) -> None:
        """The ledger was copied, and the copy is put in its place."""
        ledger = self.bench.folder / "ledger.sqlite"
        copy = self.bench.folder / "copy.sqlite"
        with contextlib.closing(sqlite3.connect(ledger)) as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        for side in ("-wal", "-shm"):
            ledger.with_name(f"{ledger.name}{side}").unlink(missing_ok=True)
        copy.replace(ledger)

    def _failed(self) -> tuple[str, str] | None:
        rows = self.bench.rows("SELECT item, run_id FROM slots WHERE status='FAILED'")
        return self.random.choice(rows) if rows else None

    def _resumed(self, _item: str) -> None:
        if (found := self._failed()) is not None:
            self._core("resume", found[1], "-q")
            self.bench.command("tick", "scheduler.yaml", "-q", code=None)

    def _settled(self, _item: str) -> None:
        if (found := self._failed()) is not None:
            self._core("runs", "ack", found[1], "--reason", "seen")

    def _again(self, item: str) -> None:
        day = self.random.choice(self.days)
        span = ("--from", f"{day}", "--to", f"{day + DAY}", "-q", "--include", "all", "--reason", "new rates")
        self.bench.command("backfill", "scheduler.yaml", item, *span, code=None)

    # What is not

    def edits(self, rng: random.Random) -> Iterator[tuple[str, Callable[[], str]]]:
        """Endless edits: what each is, and what does it; that says what it did, if anything."""
        states = state_edits(self.bench.folder / "state", rng)
        kinds = (self._ledger_value, self._ledger_row, self._ledger_tail, self._nights_swapped, self._statement,
                 self._statements_swapped, self._last_statement)  # fmt: skip
        while True:
            if rng.random() < 0.3:
                yield next(states)
            else:
                kind, seed = rng.choice(kinds), rng.random()
                yield f"{kind.__name__} {seed}", lambda kind=kind, seed=seed: kind(random.Random(seed))  # type: ignore[misc]

    def _ledger(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self.bench.folder / "ledger.sqlite"))

    def _place(self, db: sqlite3.Connection, table: str, rng: random.Random) -> dict[str, Any] | None:
        """A row that is in a statement."""
        keys = {"slots": "item, slot", "attempts": "item, slot, attempt", "acts": "id", "journal": "seq"}[table]
        where = "event<>'signed'" if table == "journal" else "1"
        if table == "journal":
            where = "seq < (SELECT max(seq) FROM journal WHERE event='signed')"
        rows = db.execute(f"SELECT {keys} FROM {table} WHERE {where}").fetchall()
        rows = [row for row in rows if table in ("acts", "journal") or self._is_signed(row[1])]
        return dict(zip(keys.split(", "), rng.choice(rows), strict=True)) if rows else None

    def _is_signed(self, slot: int) -> bool:
        return dt.datetime.fromtimestamp(slot / 1000, dt.UTC).date() in self.days

    def _ledger_value(self, rng: random.Random) -> str:
        table = rng.choice(("slots", "slots", "attempts", "journal"))
        column = rng.choice(TABLES[table])
        with self._ledger() as db:
            place = self._place(db, table, rng)
            if place is None:
                return ""
            where = " AND ".join(f"{key}=?" for key in place)
            (value,) = db.execute(f"SELECT {column} FROM {table} WHERE {where}", [*place.values()]).fetchone()
            other = other_value(value, rng)
            with contextlib.suppress(sqlite3.IntegrityError):
                db.execute(f"UPDATE {table} SET {column}=? WHERE {where}", (other, *place.values()))
                db.commit()
                return f"{table}.{column} of {place}: {value!r} -> {other!r}"
        return ""

    def _ledger_row(self, rng: random.Random) -> str:
        table = rng.choice(("slots", "attempts", "journal"))
        with self._ledger() as db:
            if (place := self._place(db, table, rng)) is None:
                return ""
            db.execute(f"DELETE FROM {table} WHERE {' AND '.join(f'{key}=?' for key in place)}", [*place.values()])
            db.commit()
        return f"{table} {place}"

    def _ledger_tail(self, rng: random.Random) -> str:
        """All of the last days, as if they had never been."""
        last = FIRST + (len(self.days) - rng.randint(1, 2)) * DAY
        at = int(dt.datetime.combine(last, dt.time(), dt.UTC).timestamp() * 1000)
        with self._ledger() as db:
            for table in ("slots", "attempts", "acts"):
                db.execute(f"DELETE FROM {table} WHERE slot>=?", (at,))
            db.commit()
        return f"from {last} on"

    def _nights_swapped(self, rng: random.Random) -> str:
        one, two = rng.sample(self.days, 2)
        span = (two - one) // dt.timedelta(milliseconds=1)
        at = int(dt.datetime.combine(one, dt.time(2), dt.UTC).timestamp() * 1000)
        with self._ledger() as db:
            for table in ("slots", "attempts"):
                for before, after in ((at, -1), (at + span, at), (-1, at + span)):
                    db.execute(f"UPDATE {table} SET slot=? WHERE slot=?", (after, before))
            db.commit()
        return f"{one} and {two}"

    def _statement(self, rng: random.Random) -> str:
        path = self.bench.folder / f"{rng.choice(self.days)}.json{rng.choice(('', '', '.sig', '.html'))}"
        data = bytearray(path.read_bytes())
        place = rng.randrange(len(data))
        data[place] = data[place] ^ 1 if rng.random() < 0.8 else 48 + rng.randrange(10)
        if bytes(data) == path.read_bytes():
            return ""
        path.write_bytes(data)
        return f"{path.name} at {place}"

    def _statements_swapped(self, rng: random.Random) -> str:
        one, two = rng.sample(self.days, 2)
        for ending in rng.choice((("",), ("", ".sig"), ("", ".sig", ".html"))):
            first, second = (self.bench.folder / f"{day}.json{ending}" for day in (one, two))
            data = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(data)
        return f"{one} and {two}"

    def _last_statement(self, rng: random.Random) -> str:
        """The last statements are gone, and who verifies does not know of them."""
        for _ in range(rng.randint(1, len(self.days) - 2)):
            self.days.pop()
        return f"after {self.days[-1]}"


@contextlib.contextmanager
def as_before(days: SignedDays, saved: Path) -> Iterator[None]:
    """Whatever the block does to the folder of the days, it is undone."""
    folder, known = days.bench.folder, list(days.days)
    if not saved.exists():
        shutil.copytree(folder, saved)
    try:
        yield
    finally:
        days.days[:] = known
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(saved, folder, dirs_exist_ok=True)
