"""Each kind of file that a flow may name, on a real server: a folder, a bundle and items of a schedule do the same."""

import contextlib
import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from core_asset_kinds import SERVERS, STEPS, Kind
from core_assets import FLOW, SLOT, STATES, TREE, lay, without_run

import warm

if TYPE_CHECKING:
    from asset_servers import Places
    from scheduler_bench import Bench

pytest_plugins = ["asset_servers"]
WAYS = ("folder", "bundle", "item folder", "item bundle")
KINDS = STEPS | SERVERS
NO_SERVER = {  # of Oracle: how far a connect comes that found its file
    "config_dir": "Connection refused",
    "wallet": "12514",
    "oracledb_ca_file": "12514",
    "oracledb_cert_file": "12514",
    "oracledb_key_file": "12514",
    "lib_dir": "DPI-1047",
    "lib_dir_in_block": "DPI-1047",
}


class Ran(NamedTuple):
    """The end of a run."""

    code: int
    said: str
    """Why it was refused: all findings, or as an item of a schedule the first."""
    jobs: Mapping[str, tuple[str, str]]
    """Status, and the error or the outputs."""


def ran(bench: "Bench", way: str) -> Ran:
    """Run the flow by this way."""
    run_id = way
    if way.startswith("item"):
        out = bench.command("run-item", "scheduler.yaml", way.split()[1], "--slot", SLOT, "--json", code=None)
        told = json.loads(out)
        run_id, code, said = told["run_id"], told["exit_code"], told["reason"] or ""
    else:
        argv = [f"{TREE}/{FLOW}"] if way == "folder" else ["-m", "bundle.yaml"]
        done = warm.run(
            [sys.executable, "-m", "aetherflow.core", "run", *argv, "--run-id", run_id, "--slot", SLOT, "-q"],
            cwd=bench.folder,
            env=bench.env(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        code, said = done.returncode, done.stderr
    return Ran(code, _of_tree(said), dict(_jobs(bench, run_id)))


def _jobs(bench: "Bench", run_id: str) -> Iterator[tuple[str, tuple[str, str]]]:
    query = "SELECT job_id, status, error, outputs FROM step_runs WHERE run_id = ? AND step_id = 's'"
    state = bench.folder / "state/main.sqlite"
    if state.exists():
        with contextlib.closing(sqlite3.connect(state)) as connection:
            for job, status, error, outputs in connection.execute(query, [run_id]):
                yield job, (status, _of_tree(without_run(error or outputs, run_id)))


def _of_tree(text: str) -> str:
    """The text with paths relative to the tree, and without what is new at each connect."""
    text = re.sub(r"[\w/.-]*\b(release|versions/[0-9a-f]{64})\b", "TREE", text)
    return re.sub(r'CONNECTION_ID=\S+|"date":"[^"]+"', "NEW", text)


def _lay(bench: "Bench", places: "Places", wanted: Mapping[str, list[str]]) -> None:
    """One flow with a job for each kind and state."""
    kinds, states = {}, {}
    for name, of_kind in wanted.items():
        for state in of_kind:
            job = f"{name}_{state}"
            kinds[job] = KINDS[name]._replace(content=places.contents.get(name, KINDS[name].content))
            states[job] = STATES[state]
    lay(bench.folder, kinds, states, places.known)


def accepted(kind: Kind) -> list[str]:
    """The states in which a run begins: keys may be elsewhere, files of resources outside."""
    return ["present", *(["missing"] if kind.local else []), *(["outside"] if kind.setting else [])]


def test_all_ways_have_the_same_result(bench: "Bench", places: "Places") -> None:
    _lay(bench, places, {name: accepted(kind) for name, kind in KINDS.items()})
    found = {way: ran(bench, way) for way in WAYS}
    assert {way: each.code for way, each in found.items()} == dict.fromkeys(WAYS, 1)  # files are missing
    folder, bundle = found["folder"].jobs, found["bundle"].jobs
    assert found["item folder"].jobs == folder
    assert found["item bundle"].jobs == bundle
    for name, kind in KINDS.items():
        good = folder[f"{name}_present"]
        assert good[0] == ("FAILED" if name in NO_SERVER else "SUCCESS"), good
        assert NO_SERVER.get(name, "") in good[1]
        assert bundle[f"{name}_present"] == good
        if kind.local:
            bad = folder[f"{name}_missing"]
            assert bad[0] == "FAILED"
            assert f"{name}_missing.ext" in bad[1] or name == "known_hosts"
            assert bundle[f"{name}_missing"] == bad
        if kind.setting:  # the folder has a file there, and no bundle can have one: the one difference, with a warning
            there, away = folder[f"{name}_outside"], bundle[f"{name}_outside"]
            assert there[0] == good[0]
            assert NO_SERVER.get(name, "") in there[1]
            assert away[0] == "FAILED"
            assert f"{name}_outside.ext" in away[1] or name == "known_hosts"


def test_all_ways_refuse_the_same(bench: "Bench", places: "Places") -> None:
    refused = {
        name: [state for state in ("missing", "outside") if state not in accepted(KINDS[name])] for name in KINDS
    }
    refused["calendar"] = ["missing"]  # a flow has one
    _lay(bench, places, refused)
    found = {way: ran(bench, way) for way in WAYS}
    assert {way: (each.code, each.jobs) for way, each in found.items()} == dict.fromkeys(WAYS, (2, {}))
    assert found["bundle"].said == found["folder"].said
    for name, states in refused.items():
        for state in states:
            assert f"{name}_{state}.ext" in found["folder"].said
    assert found["item folder"].said == found["item bundle"].said
    assert found["item folder"].said in found["folder"].said
