"""A1 and D2 for archives (F8): packed and unpacked under kill -9; P11: nothing outside, limits hold, as unzip does."""

import os
import signal
import string
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherflow.core.api import ExtractRules
from aetherflow_builtins_transfer.archives.failures import ArchiveError
from aetherflow_builtins_transfer.archives.limits import Limits
from aetherflow_builtins_transfer.archives.unpack import survey, unpack
from services import need
from torture_archives import all_cases, zip_of
from torture_bench import Bench, warm_up
from torture_flows import Reference
from torture_invariants import Oracle, check_invariants, facts, finished_artifacts, observe, work_files
from torture_tier import full, sample, sized, suite

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
MEMORY = Path("/dev/shm")
F8 = Reference(
    "F8",
    """\
  - id: a
    steps:
      - {id: one, type: torture_effect, inputs: {size: 40000}}
      - {id: two, type: torture_effect, inputs: {size: 3000}}
      - {id: pack, type: zip, inputs: {items: "*.txt", dest_path: out.zip}}
      - {id: pack_tar, type: zip, inputs: {items: "*.txt", dest_path: sub/out.tar.gz, optimize: size}}
      - id: unpack
        type: unzip
        inputs: {archives: ["out.zip", "sub/out.tar.gz"], dest_dir: back, private_zip_folder: true}
        outputs: {count: "{{result.count}}"}
      - id: three
        type: torture_effect
        inputs: {read: ["{{steps.unpack.dest_dir}}/out/one.txt"], n: "{{job.outputs.count}}"}
""",
    code=0,
    runs=("one", "two", "three"),
)


def prepared(bench: Bench) -> tuple[Oracle, list[str]]:
    """The oracle and the names of the failpoints; the bench is as new."""
    bench.write(F8.text)
    warm_up(bench)
    names = bench.points()
    assert len(facts(bench)["artifacts"]) == 3 + 2 + 4
    oracle = Oracle(F8, facts(bench), bench.lines(), work_files(bench))
    bench.forget()
    return oracle, names


def test_kill_at_every_point(bench: Bench) -> None:
    oracle, names = prepared(bench)
    sentinels = bench.sentinels()
    points = sample(list(range(1, len(names) + 1)), sized(20, len(names)), "A1-F8")
    with suite("A1 F8", 1, 2, 3, 7, 10) as counted:
        for point in points:
            with counted.case(f"kill at {point}, {names[point - 1]}"):
                assert bench.attempt(f"{point}") == KILLED
                finished_artifacts(bench, oracle)
                before = observe(bench)
                code = bench.attempt()
                check_invariants(bench, oracle, code, [before], 1)
                assert bench.sentinels() == sentinels, "I10: something outside of the run changed"
            bench.forget()


def test_a_full_disk_at_every_write(bench: Bench) -> None:
    oracle, names = prepared(bench)
    ours = [number for number, name in enumerate(names, 1) if "out." in name or "one.txt" in name or "two.txt" in name]
    with suite("D5 F8", 2, 7, 9) as counted:
        for point in sample(ours, sized(10, len(ours)), "D-F8"):
            with counted.case(f"no space at {point}, {names[point - 1]}"):
                code = bench.attempt(f"{point}:enospc")
                assert code == 1, (code, bench.error_text())
                assert "No space left" in bench.error_text()
                finished_artifacts(bench, oracle)
                assert not list(bench.work.rglob("unzip-*/*/*")), "what was unpacked aside is gone"
                assert bench.attempt() == 0, bench.error_text()
                assert work_files(bench) == oracle.files
            bench.forget()


# P11

NAMES = st.text(st.sampled_from("ab./\\~ é-" + string.digits), min_size=0, max_size=12)
MEMBERS = st.lists(
    st.tuples(
        NAMES | st.sampled_from(["../x", "/x", "a/b", "a/", "A/B", "c:x"]),
        st.binary(max_size=300) | st.just(b"z" * 5000),
    ),
    max_size=6,
)
GOOD_PART = st.text(string.ascii_lowercase + string.digits + "äß_-", min_size=1, max_size=6)
GOOD = st.dictionaries(
    st.lists(GOOD_PART, min_size=1, max_size=3).map(lambda parts: "/".join(f"d{part}" for part in parts[:-1])
                                                   + ("/" if len(parts) > 1 else "") + f"f{parts[-1]}"),
    st.binary(max_size=2000) | st.binary(max_size=20).map(lambda data: data * 100),
    max_size=8,
)  # fmt: skip


def check_confined(content: bytes, rules: ExtractRules) -> None:
    """Whatever it is: nothing outside, no links, within the limits, and what is written is what was told."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        home = Path(folder)
        archive, into = home / "archive", home / "in/to"
        archive.write_bytes(content)
        into.mkdir(parents=True)
        try:
            found = unpack(archive, rules, into)
        except ArchiveError:
            found = None
        everything = {path.relative_to(home).as_posix() for path in home.rglob("*")}
        assert {name for name in everything if not name.startswith("in/to/")} <= {"archive", "in", "in/to"}
        files = [path for path in into.rglob("*") if not path.is_dir()]
        assert not [path for path in into.rglob("*") if path.is_symlink()]
        assert sum(path.stat().st_size for path in files) <= rules.limits.max_total_bytes + (1 << 18)
        if found is not None:
            assert {path.relative_to(into).as_posix() for path in files} == {
                each.name.as_posix() for each in found if not each.is_dir
            }
            assert len(found) <= rules.limits.max_members
            assert [each.name for each in survey(archive, rules)] == [each.name for each in found]


PROFILE = settings(
    max_examples=sized(200, 5_000), deadline=None, derandomize=not full(), database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
TIGHT = ExtractRules(Limits(max_members=4, max_total_bytes=6000, max_ratio=20))


@PROFILE
@given(MEMBERS)
def test_nothing_leaves_the_destination(members: list[tuple[str, bytes]]) -> None:
    check_confined(zip_of(*members), TIGHT)


def bases() -> st.SearchStrategy[bytes]:
    """Small archives: made when they are needed, and not by every worker."""
    return st.sampled_from([content for content in (make() for _, make, _ in all_cases()) if len(content) < 20_000])


@PROFILE
@given(st.deferred(bases), st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6))
def test_nothing_leaves_the_destination_when_bytes_are_changed(base: bytes, changes: list[tuple[int, int]]) -> None:
    content = bytearray(base)
    for at, value in changes:
        if content:
            content[at % len(content)] = value
    check_confined(bytes(content), TIGHT)


@PROFILE
@given(GOOD, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_good_archives_are_unpacked_as_unzip_does(files: dict[str, bytes], method: int) -> None:
    folded = [name.casefold() for name in files]
    if len(set(folded)) < len(folded) or not files:
        return
    (unzip,) = need("unzip")
    content = zip_of(*files.items(), method=method)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "a.zip").write_bytes(content)
        (home / "ours").mkdir()
        found = unpack(home / "a.zip", ExtractRules(Limits(max_ratio=1e6)), home / "ours")
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        subprocess.run([unzip, "-q", "a.zip", "-d", "theirs"], cwd=home, env=env, check=True)
        assert read(home / "ours") == read(home / "theirs") == files
        assert {each.name.as_posix() for each in found} == set(files)


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_hostile_ones_are_confined() -> None:
    with suite("P11 hostile", 10) as counted:
        for name, content, _ in sample(all_cases(), sized(40, 1000), "P11"):
            with counted.case(name):
                check_confined(content(), ExtractRules(Limits(max_members=100, max_total_bytes=20 << 20)))
