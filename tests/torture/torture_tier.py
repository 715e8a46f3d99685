"""How much is tried, with which seed, and what was found: cases, violations, seconds, as files in .torture/."""

import contextlib
import dataclasses
import json
import os
import random
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pytest

Item = TypeVar("Item")

TIER = os.environ.get("AETHERFLOW_TORTURE_TIER", "T0")
"""T0: a sample, with every push. T1: full numbers (`make torture`)."""
SEED = int(os.environ.get("AETHERFLOW_TORTURE_SEED", "1") or "1")
"""Chooses the sample; printed with every suite."""
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".torture"
MAX_VIOLATIONS = 20
"""A suite stops when it has found this many."""

if TIER not in ("T0", "T1"):
    raise ValueError(f"AETHERFLOW_TORTURE_TIER is {TIER!r}; it must be T0 or T1")


def full() -> bool:
    """True where the full numbers are tried."""
    return TIER == "T1"


def sized(t0: int, t1: int) -> int:
    """The number that belongs to the tier."""
    return t1 if full() else t0


def sample(items: Sequence[Item], number: int, name: str) -> list[Item]:
    """At most `number` of the items, in their order; which ones depends on the seed."""
    if number >= len(items):
        return list(items)
    chosen = random.Random(f"{SEED}-{name}").sample(range(len(items)), number)
    return [items[index] for index in sorted(chosen)]


@dataclasses.dataclass
class Suite:
    """Counts the cases of one suite; a violation ends its case, not the suite."""

    name: str
    test: str
    promises: tuple[int, ...]
    cases: int = 0
    violations: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def case(self, label: str) -> Iterator[None]:
        """One case; whatever assertion fails in it is a violation."""
        self.cases += 1
        try:
            yield
        except AssertionError as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            self.violations.append(f"{self.name} {label} ({where}): {error}"[:3000])
            if len(self.violations) >= MAX_VIOLATIONS:
                raise

    @property
    def repeat(self) -> str:
        """The command that does exactly this again."""
        setting = f"AETHERFLOW_TORTURE_TIER={TIER} AETHERFLOW_TORTURE_SEED={SEED}"
        patience = "-o hang_seconds=3600 " if full() else ""  # a suite in full takes longer than any test may
        return f"{setting} .venv/bin/python -m pytest {patience}{shlex.quote(self.test)}"


@contextlib.contextmanager
def suite(name: str, *promises: int) -> Iterator[Suite]:
    """Run a suite: count, write the result file, fail at the end if anything was violated."""
    test = os.environ.get("PYTEST_CURRENT_TEST", name).rpartition(" (")[0]
    counted = Suite(name, test, promises)
    print(f"{name}: tier {TIER}, seed {SEED}; repeat: {counted.repeat}")
    started = time.monotonic()
    completed = False
    try:
        yield counted
        completed = True
    except AssertionError:
        if not counted.violations:
            raise
    finally:
        record(counted, time.monotonic() - started, completed)
    if counted.violations:
        found = "\n\n".join(counted.violations)
        raise AssertionError(f"{len(counted.violations)} of {counted.cases} cases\nrepeat: {counted.repeat}\n\n{found}")


BY_TEST = {
    "tests/torture/test_torture_signals.py": ("A7", (6,)),
    "tests/torture/test_torture_locks.py": ("B", (5,)),
    "tests/torture/test_torture_secrets.py": ("S1", (11,)),
    "tests/torture/test_torture_hostile.py": ("S5", (10,)),
    "tests/torture/test_torture_no_code.py": ("S6", (10,)),
    "tests/torture/test_torture_properties.py": ("P10", (10,)),
    "tests/system/builtins_db/test_db_hostile.py": ("S9 databases", (14,)),
    "tests/system/builtins_rest/test_rest_hostile.py": ("S9 HTTP", (14,)),
    "tests/system/builtins_transfer/test_transfer_hostile_sftp.py": ("S9 SFTP", (14,)),
    "tests/system/builtins_transfer/test_transfer_hostile_smb.py": ("S9 SMB", (14,)),
    "tests/system/builtins_transfer/test_transfer_hostile_smtp.py": ("S9 SMTP", (14,)),
    "tests/system/core/bundle/test_core_bundle_hostile_git.py": ("S9 git", (14,)),
}
"""Modules without suites of their own: each of their tests is one case here, or as many trials as it recorded."""


def count_test(report: "pytest.TestReport", counted: dict[str, Suite], spent: dict[str, float]) -> None:
    """Count a test of one of these modules."""
    nodeid = report.nodeid
    file = nodeid.partition("::")[0]
    if (found := BY_TEST.get(file)) is None:
        return
    name, promises = found
    own = counted.setdefault(name, Suite(name, nodeid.partition("[")[0], promises))
    own.cases += int(str(dict(report.user_properties).get("trials", 1)))
    spent[name] = spent.get(name, 0.0) + report.duration
    if report.failed:
        own.violations.append(nodeid)


def record(counted: Suite, seconds: float, completed: bool) -> None:
    """Write the result file of a suite."""
    folder = RESULTS / TIER
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "suite": counted.name,
        "test": counted.test.partition("[")[0],
        "promises": list(counted.promises),
        "tier": TIER,
        "seed": SEED,
        "cases": counted.cases,
        "violations": len(counted.violations),
        "told": counted.violations,  # also where the suite is broken off
        "completed": completed,
        "seconds": round(seconds, 1),
    }
    name = "".join(letter if letter.isalnum() else "-" for letter in counted.name)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
