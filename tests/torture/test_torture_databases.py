"""L4, on PostgreSQL and MariaDB: cut off, or met with silence, in the middle of reading, loading and committing."""

import dataclasses
import hashlib
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest

from db_places import Place, mysql_place, postgres_place
from proxy import How, Proxy
from torture_bench import Bench, warm_up
from torture_loads import Database, Work, flow, works, write_file
from torture_tier import SEED, sample, sized, suite

pytestmark = pytest.mark.slow

ROWS = 15_000
OLD = b"what was there before\n"
LIMIT_SECONDS = 1.0
"""How long the server may stay silent. A new connection has two, the least that libpq takes."""
DEADLINE_SECONDS = 2.0 + 3 * LIMIT_SECONDS + 2.0 + 8.0
"""Connect, the request, what ends it, one more connection to end the session there; the rest is a busy machine."""
OPTIONS = {"connect_timeout": 2, "connect_attempts": 1, "read_timeout": LIMIT_SECONDS}
READING = {"csv": "db_extract", "parquet": "db_extract_stream", "jsonl": "db_extract_stream", "csv.gz": "db_extract"}
"""COPY and plain cursors on PostgreSQL; each of them leaves a file."""
_FAILED = re.compile(r" failed(?: after [\d,]+ (?:rows|bytes)(?:, [\d,]+ bytes)?)?(?: \(attempt \d of \d\))?: ")
"""How far it came stands there, if anything was moved."""
WRITING = ("append", "truncate", "replace", "merge", "script")


@pytest.fixture(params=["postgres", "mysql"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "postgres":
        return postgres_place(request.getfixturevalue("postgres"), "torture_cuts")
    return mysql_place(request.getfixturevalue("mariadb"))


def cuts(total: int) -> list[int]:
    """Every 64 bytes in the first 4 KB, 40 points on a logarithmic scale, and the last bytes, where the commit is."""
    early = list(range(64, min(4097, total), 64))
    late = [int(4096 * (max(total, 8192) / 4096) ** (step / 40)) for step in range(1, 41)]
    return [*early, *(at for at in late if at < total), *(max(total - back, 1) for back in range(0, 400, 25))]


@dataclasses.dataclass
class Target:
    """One kind of work, what it leaves, and how many bytes pass either way."""

    work: Work
    before: Any
    after: Any
    passed: dict[str, int]


class Cutting:
    """The works of one database behind a proxy."""

    def __init__(self, bench: Bench, place: Place) -> None:
        self.bench, self.place = bench, place
        self.database = Database(place, bench.work)
        self.file = bench.folder / "disk/work/kept/out"
        data = bench.folder / "in.csv"
        write_file(data, ROWS)
        loads = [work for work in works(str(data)) if work.name in WRITING]
        self.works = loads + [self.reading(suffix, step) for suffix, step in READING.items()]
        place.resource["options"] = OPTIONS

    def reading(self, suffix: str, step: str) -> Work:
        output = str(self.file.with_suffix(f".{suffix}"))
        sql = "SELECT a, s, n, s AS again FROM source ORDER BY a"
        return Work(suffix, step, {"resource": "wh", "sql": sql, "output": output, "fetch_size": 1000})

    def again(self, work: Work) -> None:
        """Everything as before the run, a file of an earlier one included."""
        self.bench.forget()
        if work.name in READING:
            path = Path(work.inputs["output"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(OLD)
        else:
            self.database.reset()

    def found(self, work: Work) -> Any:
        """What the work has left so far."""
        if work.name in READING:
            return hashlib.sha256(Path(work.inputs["output"]).read_bytes()).hexdigest()
        return self.database.facts()

    def aim(self, work: Work, port: int) -> None:
        self.bench.write(flow(work, self.place, port))

    def undisturbed(self, work: Work) -> Target:
        """Run it once through a proxy that does nothing."""
        assert self.place.server is not None
        with Proxy(self.place.server.port) as proxy:
            self.aim(work, proxy.port)
            self.again(work)
            before = self.found(work)
            assert self.bench.attempt() == 0, self.bench.error_text()
            after = self.found(work)
        assert after != before
        return Target(work, before, after, {"up": proxy.up, "down": proxy.down})

    def cut(self, target: Target, direction: str, at: int, how: How, faults: int | None) -> None:
        """Run into the cut; then, the network being back, the same command again."""
        assert self.place.server is not None
        work = target.work
        self.again(work)
        with Proxy(self.place.server.port, **{direction: at}, how=how, faults=faults) as proxy:
            self.aim(work, proxy.port)
            begun = time.monotonic()
            code = self.bench.attempt()
            seconds = time.monotonic() - begun
            told = self.bench.error_text()
            assert code in {0, 1}, f"ended with {code}: {told}"
            assert seconds < DEADLINE_SECONDS, f"{seconds:.1f} s: {told}"
            assert self.found(work) in (target.before, target.after), f"half done: {self.found(work)}"
            left = [path.name for path in self.file.parent.glob(".*")]
            assert left == [], f"left behind: {left}"
            if code:
                self.check_words(told, proxy)
                assert work.name not in READING or self.found(work) == target.before
            else:
                assert self.found(work) == target.after, "the run ended well and did nothing"
            proxy.reconnect()
            code = self.bench.attempt()
            waiting = self.database.waiting() if code else ""
            assert code == 0, f"the second run ended with {code}: {self.bench.error_text()} {waiting}"
            assert self.found(work) == target.after, f"after the second run {self.found(work)}, not {target.after}"
            if work.name not in READING:
                assert self.database.leftovers() == 0, "a table of the load was left"

    def check_words(self, told: str, proxy: Proxy) -> None:
        """What, where, what to do; and no secret, nor a traceback."""
        lines = [each for each in told.splitlines() if "resource wh (db:" in each]
        assert lines, told
        for line in lines:
            assert f"resource wh (db:{self.place.driver}): " in line, told
            assert _FAILED.search(line), told
            assert f"127.0.0.1:{proxy.port}" in line, f"no peer: {told}"
        assert "s3cret" not in told, told
        assert "Traceback" not in told, told
        assert "fix: " in told, told


def fill(cutting: Cutting) -> None:
    cutting.database.do("DROP TABLE IF EXISTS source", "CREATE TABLE source (a INTEGER, s VARCHAR(80), n INTEGER)")
    rows = ", ".join(f"({number}, 'text of row {number} {number % 89:040}', {number % 97})" for number in range(ROWS))
    cutting.database.do(f"INSERT INTO source VALUES {rows}")


@pytest.mark.parametrize("how", ["rst", "fin", "stall"])
def test_cut_at_any_byte(bench: Bench, place: Place, how: How) -> None:
    cutting = Cutting(bench, place)
    fill(cutting)
    cutting.again(cutting.works[0])
    bench.write(flow(cutting.works[0], place))
    warm_up(bench)
    name = f"L4 {place.driver} {how}"
    targets = [cutting.undisturbed(work) for work in sample(cutting.works, sized(2, 9), name)]
    cases = [
        (target, direction, at)
        for target in targets
        for direction in ("up", "down")
        for at in cuts(target.passed[direction])
    ]
    chance = random.Random(f"{SEED}-{name}")
    with suite(name, 3, 7, 11) as counted:
        for target, direction, at in chance.sample(cases, sized(3, 60 if how == "stall" else 110)):
            faults = chance.choice([1, None])
            with counted.case(f"{target.work.name} cut {direction} after {at} bytes, faults {faults}"):
                cutting.cut(target, direction, at, how, faults)
