"""D2 and D3: a disk that is really full, and the limits of a process; then there is room again."""

import functools
import resource

import pytest

from torture_bench import Bench
from torture_flows import ALL, F1, F4, Reference
from torture_image import mounted, require_mounts, run
from torture_invariants import (
    Oracle,
    check_invariants,
    finished_artifacts,
    observe,
    undisturbed,
)
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

FULL = (
    "No space left on device",
    "disk full",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
)
"""The system's words for a full disk, and SQLite's."""
SMALLEST, LARGEST = 36 * 1024, 1024 * 1024
"""Bytes: from a disk on which nothing fits to one that holds all of a run."""


def check_error(said: str, words: tuple[str, ...]) -> None:
    """One of these was said, and it was said cleanly."""
    assert "Traceback" not in said or "torture_steps.py" in said, said  # the lines of a plugin are shown
    assert "internal error" not in said, said
    assert any(word in said for word in words), said


def no_parts(bench: Bench) -> None:
    """The failed run took its temporary files away."""
    parts = [path for path in bench.disk.rglob("*.part") if "other" not in path.parts]
    assert parts == [], f"temporary files stay on a full disk: {parts}"


def prepared(bench: Bench, flow: Reference) -> Oracle:
    """The oracle of a flow; the bench is as new."""
    bench.write(flow.text)
    return undisturbed(bench, flow)


@pytest.mark.parametrize("flow", ALL if full() else (F1, F4), ids=lambda flow: flow.name)
def test_full_disk(bench: Bench, flow: Reference) -> None:
    require_mounts(bench.folder, "tmpfs")
    oracle = prepared(bench, flow)
    steps = 64
    sizes = [int(SMALLEST * (LARGEST / SMALLEST) ** (step / (steps - 1))) // 1024 for step in range(steps)]
    with suite(f"D2 {flow.name}", 1, 2, 9) as counted:
        for size in sizes if full() else sample(sizes, sized(8, 64), f"D2-{flow.name}"):
            bench.effects.unlink(missing_ok=True)
            with (
                counted.case(f"a disk of {size} KiB"),
                mounted("tmpfs", "tmpfs", f"size={size}k", bench.disk),
            ):
                bench.plant_sentinels()
                sentinels = bench.sentinels()
                code = bench.attempt()
                befores = [observe(bench)]
                if oracle.facts["run"] != bench.try_rows("SELECT status FROM runs") or code != flow.code:
                    assert code in (1, 4), (code, bench.error_text())
                    check_error(bench.error_text(), FULL)
                    no_parts(bench)
                    finished_artifacts(bench, oracle)
                run("mount", "-o", "remount,size=8m", str(bench.disk))
                code = bench.attempt()
                check_invariants(bench, oracle, code, befores, 0, faults=2)
                assert bench.sentinels() == sentinels, "I10: something outside of the run changed"


def hungry(**appetite: int) -> Reference:
    """A flow whose second step wants more than there may be."""
    wanted = ", ".join(f"{name}: {value}" for name, value in appetite.items())
    steps = f"[{{id: one, type: torture_effect}}, {{id: two, type: torture_effect, inputs: {{{wanted}}}}}]"
    label = "-".join(f"{name}-{value}" for name, value in appetite.items())
    return Reference(f"hungry-{label}", f"  - {{id: a, steps: {steps}}}\n", 0, ("one", "two"))


MEGABYTE = 2**20
LIMITS = {
    "memory": (resource.RLIMIT_AS, 512 * MEGABYTE),
    "files": (resource.RLIMIT_NOFILE, 64),
    "file size": (resource.RLIMIT_FSIZE, MEGABYTE),
}
HUNGRY = {"memory": "megabytes", "files": "files", "file size": "size"}
TOO_MUCH = {
    "memory": (600, 1000, 2000),
    "files": (80, 200, 1000),
    "file size": (MEGABYTE + 1, 3 * MEGABYTE, 10 * MEGABYTE),
}
FITS = {"memory": 20, "files": 20, "file size": MEGABYTE}
WORDS = {
    "memory": ("MemoryError", "out of memory", "Cannot allocate memory"),
    "files": ("Too many open files",),
    "file size": ("File too large", "disk I/O error", "database or disk is full"),
}


def under_a_limit(bench: Bench, flow: Reference, what: str, limit: int, *, fits: bool | None) -> None:
    """The real command under a limit, then without; `fits` says if it has to end well (None: either)."""
    oracle = prepared(bench, flow)
    kind = LIMITS[what][0]
    result = bench.command(before=functools.partial(resource.setrlimit, kind, (limit, limit)))
    befores = [observe(bench)]
    if fits or (fits is None and bench.try_rows("SELECT status FROM runs") == oracle.facts["run"]):
        assert result.code == flow.code, (result.code, result.err)
    else:
        assert result.code in (1, 4), (result.code, result.err)
        check_error(result.err, WORDS[what])
        no_parts(bench)
    finished_artifacts(bench, oracle)
    code = bench.attempt()
    check_invariants(bench, oracle, code, befores, 0, faults=2)


@pytest.mark.parametrize("what", list(LIMITS))
def test_limits_of_the_process(bench: Bench, what: str) -> None:
    limit = LIMITS[what][1]
    cases: list[tuple[Reference, int, bool | None]] = []
    cases += [(hungry(**{HUNGRY[what]: wanted}), limit, False) for wanted in TOO_MUCH[what]]
    cases += [(hungry(**{HUNGRY[what]: FITS[what]}), limit, True)]
    cases += [(flow, limit, True) for flow in ALL]
    if what == "file size":
        cases += [(flow, tight, None) for flow in ALL for tight in (1024, 16 * 1024, 64 * 1024)]
    with suite(f"D3 {what}", 1, 9) as counted:
        for flow, most, fits in sample(cases, sized(3, len(cases)), f"D3-{what}"):
            with counted.case(f"{flow.name} with at most {most}"):
                under_a_limit(bench, flow, what, most, fits=fits)
            bench.forget()
