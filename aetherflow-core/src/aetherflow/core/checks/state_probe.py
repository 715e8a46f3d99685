"""Reaching the servers that keep the state and the locks of a document, as `doctor --connect` does."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError, SpecError, StateError
from aetherflow.core.base.location import Location
from aetherflow.core.base.problems import Problem
from aetherflow.core.checks.checked import Checked
from aetherflow.core.checks.places import places_of
from aetherflow.core.checks.probes import Probe
from aetherflow.core.contracts.state_backend import ServerFacts
from aetherflow.core.runtime.environment.snapshot import Snapshot
from aetherflow.core.runtime.workspace.state_server import backend_at
from aetherflow.core.runtime.workspace.store_places import lock_store, state_root

MOST_OFF_MS = 5_000
"""How far the clocks of two hosts may be apart before it confuses readers of times; leases go by the server's."""


def probe_state(checked: Checked, snapshot: Snapshot, at: Location, deadline: float) -> list[Probe]:
    """Ask each server about itself; one that has not answered after `deadline` seconds counts as failed."""
    probes = [(path, Probe(str(path))) for path in _servers(checked, snapshot)]
    threads = [threading.Thread(target=_one, args=(path, each, at), daemon=True) for path, each in probes]
    end = time.monotonic() + deadline
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    for path, each in probes:
        if each.state == "running":
            each.seconds = deadline
            fix = "check host, port and network"
            each.problem = Problem("AF6004", f"{path}: no answer within {deadline:g} s", at, "", "connect", fix)
    return [each for _, each in probes]


def _servers(checked: Checked, snapshot: Snapshot) -> list[Path]:
    found: list[Path | None] = []
    with suppress(SpecError):  # reported by the checks
        if checked.kind != "project":
            found.append(places_of(checked.document, snapshot).state_path)
        found += [state_root(snapshot), lock_store(snapshot)]
    return list(dict.fromkeys(path for path in found if path is not None and durable.server_at(path) is not None))


def _one(path: Path, probe: Probe, at: Location) -> None:
    began, state = time.monotonic(), "ok"
    try:
        backend = backend_at(path)
        assert backend is not None  # noqa: S101 it names a server
        facts = backend.facts()
        probe.note = _text(facts)
        probe.problem = next(_problems(path, facts, at), None)
        state = "failed" if probe.problem is not None and probe.problem.severity == "error" else state
    except SpecError as error:
        state, probe.problem = "failed", next(iter(error.problems), None)
    except AetherflowError as error:
        state, probe.problem = "failed", _failed(path, error.code, error.message, error.fix, at)
    except Exception as error:  # noqa: BLE001 drivers may raise anything
        fix = "check the server, and its resource"
        state, probe.problem = "failed", _failed(path, StateError.code, str(error), fix, at)
    probe.seconds = time.monotonic() - began
    probe.state = state  # last: the waiting thread reads it


def _text(facts: ServerFacts) -> str:
    clock = f"clock {facts.offset_ms / 1000:+.3f} s"
    return f"{facts.version}, {clock}, round trip {facts.round_trip_ms:.1f} ms"


def _problems(path: Path, facts: ServerFacts, at: Location) -> Iterator[Problem]:
    if not facts.may_create:
        message = f"the state in {path} cannot be used: the account may not create schemas in it"
        fix = "give it the right: GRANT CREATE ON DATABASE NAME TO USER"
        yield Problem("AF6002", message, at, "", "host:not_writable", fix)
    if abs(facts.offset_ms) > MOST_OFF_MS:
        message = f"the clock of {path} differs from that of this host by {facts.offset_ms / 1000:+.1f} s"
        fix = "keep both right by NTP: leases go by the server's clock, dates of runs by that of their host"
        yield Problem("AF6003", message, at, "", "host:clock", fix, "warning")


def _failed(path: Path, code: str, message: str, fix: str, at: Location) -> Problem:
    return Problem(code, f"{path}: {message}", at, "", "connect", fix)
