"""P15 and E: what programs print and get arrives byte for byte, nothing of them stays, folders are whole.

T0, the default, takes a sample; T1 the full numbers. The seed repeats a run.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import warm
from aetherflow.core.cli import main
from torture_bench import AMBIENT, Bench, warm_up
from torture_output import WRITER, captured, log_uniform, make_data, written
from torture_signals import STUBBORN, trial, wait_for
from torture_tier import SEED, sample, sized, suite

pytestmark = pytest.mark.slow

PYTHON = [sys.executable, "-I", "-S"]
HEAD = "flow: {id: f, workspace: {cleanup_policy: always}}\n"
BATCH = 50
"""Steps of one flow: the start of a run is not what is tried."""
MIB = 1 << 20
SLACK = 48 * MIB
"""Memory beside captures: text of the outputs in several forms, lines under way."""


class Raw(str):
    """Text that is taken verbatim."""

    __slots__ = ()


yaml.SafeDumper.add_representer(Raw, lambda dumper, text: dumper.represent_scalar("!raw", str(text), style='"'))


class Runs:
    """A folder, on a disk as large outputs need, in which flows run one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = make_data(folder / "data", SEED)
        (folder / "writer.py").write_text(WRITER)
        self.env = {
            **AMBIENT,
            "AETHERFLOW_WORK_ROOT": str(folder / "work"),
            "AETHERFLOW_STATE_ROOT": str(folder / "state"),
        }

    def writer(self, out: tuple[int, int], err: tuple[int, int], style: str) -> list[str]:
        """Command that prints these parts of the data."""
        return [*PYTHON, str(self.folder / "writer.py"), str(self.folder / "data"), *map(str, (*out, *err)), style]

    def write(self, steps: list[dict[str, Any]], **flow: Any) -> None:
        """Write a flow of these `external.process` steps."""
        named = [{"id": f"s{n}", "type": "external.process", "inputs": inputs} for n, inputs in enumerate(steps)]
        document = {"flow": {"id": "f", **flow}, "jobs": [{"id": "a", "steps": named}]}
        (self.folder / "flow.yaml").write_text(yaml.safe_dump(document, width=10**6, allow_unicode=False))

    def run(self, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Outputs of these steps, run in this process."""
        self.write(steps)
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            code = main(["run", "-q", str(self.folder / "flow.yaml"), "--run-id", "r"])
        assert code == 0, err.getvalue()
        found = self.outputs()
        self.forget()
        return found

    def outputs(self) -> list[dict[str, Any]]:
        """What is stored of the steps, in their order."""
        states = self.folder / "state"
        with contextlib.closing(sqlite3.connect(states / "f.sqlite")) as db:
            rows = db.execute(
                "SELECT outputs, blob FROM step_runs ORDER BY CAST(substr(step_id, 2) AS INTEGER)"
            ).fetchall()
        blobs = states / "f.sqlite.d/blobs"
        texts = [text if blob is None else zlib.decompress((blobs / blob).read_bytes()) for text, blob in rows]
        return [json.loads(text) for text in texts]

    def forget(self) -> None:
        for name in ("work", "state"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    found = Runs(tmp_path)
    for name in list(os.environ):
        if name.startswith("AETHERFLOW_") and "TORTURE" not in name:
            monkeypatch.delenv(name)
    for name in ("AETHERFLOW_WORK_ROOT", "AETHERFLOW_STATE_ROOT"):
        monkeypatch.setenv(name, found.env[name])
    yield found
    found.forget()


# P15


def test_captured_output_is_what_the_child_wrote(runs: Runs) -> None:
    chance = random.Random(f"{SEED}-P15")
    with suite("P15 captured", 1) as counted:
        for first in range(0, sized(60, 5_000), BATCH):
            cases = [_p15_case(chance) for _ in range(min(BATCH, sized(60, 5_000) - first))]
            steps = [
                {"command": runs.writer(out, err, style),
                 "log": {"stdout": "capture", "stderr": "capture", "max_capture_bytes": limit}}
                for out, err, style, limit in cases
            ]  # fmt: skip
            for (out, err, style, limit), found in zip(cases, runs.run(steps), strict=True):
                with counted.case(f"{out} {err} {style}, limit {limit}"):
                    for stream, part in (("stdout", out), ("stderr", err)):
                        assert found[stream] == captured(runs.data, *part, limit), f"{stream} differs"


def _p15_case(chance: random.Random) -> tuple[tuple[int, int], tuple[int, int], str, int]:
    most = sized(MIB, 10 * MIB)
    sizes = [log_uniform(chance, most), log_uniform(chance, chance.choice([1, MIB]))]
    chance.shuffle(sizes)
    style = chance.choice(["whole", "pages", "odd", "bytes"] if max(sizes) < 20_000 else ["whole", "pages", "odd"])
    limit = chance.choice([most, max(sizes) or 1, max(sizes) + 1, max(max(sizes) - 1, 1), 1 + log_uniform(chance, MIB)])
    out, err = ((chance.randrange(MIB), size) for size in sizes)
    return out, err, style, limit


MEASURED = """\
import sys
from aetherflow.core.cli import main
code = main(["run", "-q", "flow.yaml", "--run-id", "r"])
text = open("/proc/self/status").read()
print(text.split("VmHWM:")[1].split()[0])
sys.exit(code)
"""


def test_output_of_any_size_in_bounded_memory(runs: Runs) -> None:
    """0 B to 1 GB: byte-exact in a file, exact head and tail in a capture; the runner's memory stays where it was."""
    chance = random.Random(f"{SEED}-E1")
    most = sized(64 * MIB, 1000**3)
    with suite("E1 output", 7) as counted:
        base = _peak(runs, [{"command": runs.writer((0, 0), (0, 0), "whole"), "log": {"stdout": "capture"}}])
        runs.forget()
        for number in range(sized(6, 300)):
            mode = chance.choice(["capture", "file", "file", "inherit"])
            size = most if number < 3 else log_uniform(chance, most)
            size, other = (size, log_uniform(chance, MIB)) if mode != "inherit" else (size // 4, 0)
            out, err = (chance.randrange(MIB), size), (chance.randrange(MIB), other)
            limit = chance.choice([1, 1024, MIB, 4 * MIB])
            log = {"stdout": mode, "stderr": "capture", "max_capture_bytes": limit}
            if mode == "file":
                log |= {"file_path": str(runs.folder / "work/out.bin"), "append": chance.random() < 0.5}
            with counted.case(f"{mode} {out} {err}, limit {limit}"):
                style = chance.choice(["whole", "pages"])
                peak = _peak(runs, [{"command": runs.writer(out, err, style), "log": log}])
                (found,) = runs.outputs()
                assert found["stderr"] == captured(runs.data, *err, limit)
                if mode == "capture":
                    assert found["stdout"] == captured(runs.data, *out, limit)
                elif mode == "file":
                    _same_file(Path(found["log_file"]), runs.data, *out)
                assert peak < base + SLACK + 16 * limit, f"{peak / MIB:.0f} MiB, {base / MIB:.0f} MiB without output"
            runs.forget()


def _peak(runs: Runs, steps: list[dict[str, Any]]) -> int:
    """Most memory that the runner held, in bytes; the run must end well."""
    runs.write(steps)
    done = warm.run(
        [sys.executable, "-c", MEASURED],
        cwd=runs.folder,
        env=runs.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    peak = int(done.stdout) * 1024
    print(f"{peak / MIB:.0f} MiB: {steps[0]['log']}, {steps[0]['command'][5:]}")
    return peak


def _same_file(path: Path, data: bytes, start: int, size: int) -> None:
    assert path.stat().st_size == size
    expected = hashlib.sha256()
    for at in range(0, size, 8 * MIB):
        expected.update(written(data, start + at, min(8 * MIB, size - at)))
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == expected.digest(), "the bytes differ"


# Arguments and variables

ECHO = """\
import json, os, sys
seen = [os.fsencode(text).hex() for text in sys.argv[1:]]
own = {name[3:]: os.fsencode(value).hex() for name, value in os.environ.items() if name.startswith("OWN")}
json.dump({"seen": seen, "own": own}, open(os.environ["AETHERFLOW_OUTPUT_FILE"], "w"))
"""
TRICKY = (
    "",
    " ",
    "a b",
    "'",
    '"',
    "$HOME",
    "`id`",
    "*",
    ";",
    "\n",
    "-x",
    "--",
    "\\",
    "{{env.HOME}}",
    "${X}",
    "{}",
    "~",
    "%s",
)


def test_arguments_and_variables_arrive_byte_for_byte(runs: Runs) -> None:
    chance = random.Random(f"{SEED}-E4")
    (runs.folder / "echo.py").write_text(ECHO)
    with suite("E4 arguments") as counted:
        for _ in range(sized(2, 60)):
            cases = [
                ([_text(chance) for _ in range(chance.randrange(8))], {f"OWN{n}": _text(chance) for n in range(3)})
                for _ in range(BATCH)
            ]
            steps = [
                {"command": [*PYTHON, str(runs.folder / "echo.py"), *map(Raw, arguments)],
                 "env": {name: Raw(value) for name, value in own.items()}}
                for arguments, own in cases
            ]  # fmt: skip
            for (arguments, own), found in zip(cases, runs.run(steps), strict=True):
                with counted.case(repr(arguments)):
                    assert found["seen"] == [text.encode().hex() for text in arguments]
                    assert found["own"] == {name[3:]: value.encode().hex() for name, value in own.items()}


def _text(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return chance.choice(TRICKY)
    ranges = chance.choice([[(1, 0x7F)], [(1, 0xFF)], [(1, 0xD7FF), (0xE000, 0x10FFFF)]])
    return "".join(chr(chance.randint(*chance.choice(ranges))) for _ in range(chance.randrange(30)))


# What children leave behind


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: the disk is not what is tested here."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else tmp_path) as name:
        yield Path(name)


def test_grandchildren_that_ignore_a_request_are_ended(folder: Path) -> None:
    """By the time limit of 1 s within its grace, and by the guard when the runner dies."""
    with suite("E2 grandchildren", 6) as counted:
        for number in range(sized(1, 10)):
            for tree in STUBBORN:
                for way in ("time limit", "kill -9"):
                    with counted.case(f"{tree}, {way}, {number}"):
                        _end(folder / f"{number} {tree} {way}", tree, way)


def _end(folder: Path, tree: str, way: str) -> None:
    grace = 0.5
    with trial(
        folder, tree, f", timeout_seconds: 1, kill_grace_seconds: {grace}" if way == "time limit" else ""
    ) as run:
        assert wait_for(run.is_up, 60) is not None, f"no tree: {(folder / 'err').read_text()}"
        if way == "kill -9":
            run.runner.kill()
        limit = 1 + grace + 1 if way == "time limit" else grace + 1
        started = time.monotonic()
        assert wait_for(lambda: not run.descendants(), limit) is not None, f"left after {limit} s: {run.descendants()}"
        assert wait_for(lambda: run.runner.poll() is not None, 60) is not None, "the run does not end"
        assert run.runner.returncode == (1 if way == "time limit" else -9)
        assert way == "kill -9" or time.monotonic() - started < limit + 2
        assert "still running after 1 s" in (folder / "err").read_text() or way == "kill -9"


# A folder that is published

FOLDER_FLOW = """\
flow: {{id: f, workspace: {{cleanup_policy: never}}}}
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs:
          shell: true
          command: 'cd "$AETHERFLOW_OUTPUT_DIR" && mkdir s && echo new | tee a > s/b'
          success: {{require_files: ["{final}/a", "{final}/s/b"]}}
          idempotency: {{strategy: atomic_dir, temp_output_dir: "{temp}", final_output_dir: "{final}"}}
"""


def _whole(path: Path) -> str | None:
    """The one word that all files of a folder hold; None if it is not there."""
    if not path.exists():
        return None
    names = sorted(found.relative_to(path).as_posix() for found in path.rglob("*"))
    assert names == ["a", "s", "s/b"], f"{path} holds {names}"
    words = {(path / name).read_text().strip() for name in ("a", "s/b")}
    assert len(words) == 1, f"{path} holds parts of two folders"
    return words.pop()


@pytest.mark.parametrize("way", ["swap", "aside", "other device"])
def test_a_published_folder_is_the_old_or_the_new_one(
    bench: Bench, way: str, other_device: Callable[[Path], Path]
) -> None:
    """kill -9 at every failpoint; where names cannot be swapped in one step, the old one may stand aside until then."""
    final = bench.work / "shared/out"
    staging = other_device(bench.folder) if way == "other device" else final.parent
    temp = staging / "new"
    (bench.folder / "aetherflow.yaml").write_text(f"version: 1\npaths: {{write: ['{staging}']}}\n")
    bench.write(FOLDER_FLOW.format(final=final, temp=temp))
    before: Callable[[], object] | None = _without_exchange if way == "aside" else None

    def start_anew() -> None:
        bench.forget()
        shutil.rmtree(temp, ignore_errors=True)
        (final / "s").mkdir(parents=True)
        for name in ("a", "s/b"):
            (final / name).write_text("old\n")

    start_anew()
    warm_up(bench)
    start_anew()
    names = bench.folder / "points"
    names.unlink(missing_ok=True)
    assert bench.attempt(f"log:{names}", before) == 0, bench.error_text()
    points = names.read_text().splitlines()
    with suite(f"E3 folder, {way}", 7) as counted:
        for point in sample(list(range(1, len(points) + 1)), sized(8, len(points)), f"E3-{way}"):
            with counted.case(f"kill at {point}, {points[point - 1]}"):
                start_anew()
                assert bench.attempt(f"{point}", before) == -9, bench.error_text()
                found = _whole(final)
                aside = [_whole(path) for path in final.parent.glob(".aetherflow-out.*.old")]
                assert found in ("old", "new") or (way == "aside" and aside == ["old"]), (found, aside)
                assert bench.attempt("", before) == 0, bench.error_text()
                assert _whole(final) == "new"
                assert [path.name for path in final.parent.iterdir()] == ["out"], "hidden folders are left"
                assert not temp.exists()


def _without_exchange() -> None:
    from aetherflow.core.base.durable import folders

    folders.exchange = lambda *_: False
