"""F12 of A1: a sync killed at any failpoint leaves the old version or the new one, whole; P12: any sequence does."""

import contextlib
import hashlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import warm
from aetherflow.core.bundle.store import BundleStore
from aetherflow.core.bundle.verify import check_blobs, check_version
from aetherflow.core.runtime.workspace.places import bundle_stores
from torture_bench import Bench
from torture_tier import SEED, full, sample, sized, suite

pytestmark = pytest.mark.slow

MANIFEST = """\
version: 1
bundle:
  id: b
  source: {type: filesystem, base_path: release}
  layout: {profiles_file: profiles.yaml}
  entry_flow: flow.yaml
"""
FLOW = "version: 1\nflow: {id: n}\njobs: [{id: a, steps: [{id: s, type: check_items, inputs: {items: [1]}}]}]\n"
OLD = {"flow.yaml": FLOW, "profiles.yaml": "{}\n", "sql/a.sql": "select 1;\n", "gone.txt": "gone\n"}
NEW = {"flow.yaml": FLOW + "# new\n", "profiles.yaml": "{}\n", "sql/a.sql": "select 2;\n", "added/x.txt": "x\n"}


class Scene:
    """A manifest, its source and its store."""

    def __init__(self, bench: Bench) -> None:
        self.folder = bench.folder / "bundle"
        self.folder.mkdir()
        work, self.states = self.folder / "work", self.folder / "state"
        (self.folder / "bundle.yaml").write_text(MANIFEST)
        self.env = {**bench.env, "AETHERFLOW_WORK_ROOT": str(work), "AETHERFLOW_STATE_ROOT": str(self.states)}
        self.store = BundleStore(bundle_stores(self.states, work) / "b")

    def publish(self, tree: dict[str, str]) -> None:
        shutil.rmtree(self.folder / "release", ignore_errors=True)
        for path, text in tree.items():
            target = self.folder / "release" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def sync(self, failpoint: str = "", *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "aetherflow.core", "bundle", "sync", "--bundle-manifest", "bundle.yaml", *more]
        env = {**self.env, "AETHERFLOW_TESTS_FAILPOINT": failpoint} if failpoint else self.env
        return warm.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=60)

    def active_tree(self) -> dict[str, str] | None:
        """Path to text of the active version; None if there is none."""
        if (content := self.store.active()) is None:
            return None
        root = self.store.versions_dir / content
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}

    def leavings(self) -> list[str]:
        """What an unfinished sync left."""
        staged = list(self.store.staged_dir.iterdir()) if self.store.staged_dir.is_dir() else []
        return [str(path) for path in [*self.states.rglob(".aetherflow-*.part"), *staged]]

    def require_whole(self) -> None:
        content = self.store.active()
        assert content is not None
        assert list(check_version(self.store, content)) == []
        assert list(check_blobs(self.store)) == []


@pytest.mark.parametrize("before", [None, OLD], ids=["first", "second"])
def test_a_sync_killed_at_every_point(bench: Bench, before: dict[str, str] | None) -> None:
    scene = Scene(bench)
    pristine = scene.folder / "pristine"
    if before is not None:
        scene.publish(before)
        assert scene.sync().returncode == 0
    else:
        scene.states.mkdir()
    shutil.copytree(scene.states, pristine, symlinks=True)
    scene.publish(NEW)
    done = scene.sync()
    assert done.returncode == 0, done.stderr
    number = _points(scene, pristine)
    points = sample(list(range(1, number + 1)), sized(12, number), f"A1-F12-{before is None}")
    with suite(f"A1 F12 {'first' if before is None else 'second'}", 10) as counted:
        for point in points:
            with counted.case(f"kill at {point} of {number}"):
                shutil.rmtree(scene.states)
                shutil.copytree(pristine, scene.states, symlinks=True)
                killed = scene.sync(str(point))
                assert killed.returncode == -signal.SIGKILL, killed.stderr
                found = scene.active_tree()
                assert found in (before, NEW), found
                if found is not None:
                    scene.require_whole()
                again = scene.sync()
                assert again.returncode == 0, again.stderr
                assert scene.active_tree() == NEW
                scene.require_whole()
                assert scene.leavings() == []


def _points(scene: Scene, pristine: Path) -> int:
    """How many failpoints one sync passes."""
    low, high = 1, 2048
    while low < high:  # the first number at which the sync is not killed any more
        middle = (low + high) // 2
        shutil.rmtree(scene.states)
        shutil.copytree(pristine, scene.states, symlinks=True)
        if scene.sync(str(middle)).returncode == 0:
            high = middle
        else:
            low = middle + 1
    return low - 1


def test_any_sequence_ends_with_a_version_that_the_source_had(bench: Bench) -> None:
    """P12: changes, syncs, crashes, damaged blobs, syncs at the same time."""
    scene = Scene(bench)
    chance = random.Random(f"{SEED}-P12")
    scene.states.mkdir()
    with suite("P12", 10) as counted:
        for number in range(sized(2, 60)):
            with counted.case(f"sequence {number}"):
                shutil.rmtree(scene.states)
                scene.states.mkdir()
                _sequence(scene, chance, sized(8, 30))


def _sequence(scene: Scene, chance: random.Random, steps: int) -> None:
    had: list[dict[str, str]] = []
    tree = dict(OLD)
    for step in range(steps):
        what = chance.choice(["change", "change", "sync", "crash", "damage", "together"])
        if what == "change" or not had:
            path = chance.choice([*tree, f"f{step}/new.txt"])
            tree = {**tree, path: FLOW + f"# {step}\n" if path == "flow.yaml" else f"# {chance.random()}\n"}
            if chance.random() < 0.3 and (gone := chance.choice(list(tree))) not in ("flow.yaml", "profiles.yaml"):
                del tree[gone]
            scene.publish(tree)
            had.append(dict(tree))
        elif what == "sync":
            assert (done := scene.sync()).returncode == 0, done.stderr
            assert scene.active_tree() == tree
        elif what == "crash":
            scene.sync(str(chance.randint(1, 80)))
        elif what == "damage" and scene.store.cache_dir.is_dir():
            blobs = [path for path in sorted(scene.store.cache_dir.iterdir()) if not path.name.startswith(".")]
            if blobs:
                blob = chance.choice(blobs)
                blob.chmod(0o600)
                blob.write_bytes(b"damaged" + blob.read_bytes())
        elif what == "together":
            command = [sys.executable, "-m", "aetherflow.core", "bundle", "sync", "--bundle-manifest", "bundle.yaml"]
            running = [warm.Popen([*command, "--json"], cwd=scene.folder, env=scene.env, stdout=subprocess.PIPE)
                       for _ in range(3)]  # fmt: skip
            roots = {json.loads(each.communicate(timeout=60)[0])["local_root"] for each in running}
            assert len(roots) == 1
        found = scene.active_tree()
        assert found is None or found in had
    assert (done := scene.sync()).returncode == 0, done.stderr
    assert scene.active_tree() == tree
    assert list(check_version(scene.store, scene.store.active() or "")) == []
    if full():
        assert (done := scene.sync("", "--always")).returncode == 0, done.stderr
        # a damaged blob of an older version stays, is reported, and is fetched again when a version needs it
        needed = {hashlib.sha256(text.encode()).hexdigest() for text in tree.values()}
        assert [each for each in check_blobs(scene.store) if any(name in str(each) for name in needed)] == []


READING = """\
version: 1
flow: {id: reader}
jobs:
  - id: a
    steps:
      - id: s
        type: external.process
        inputs:
          command: [sh, -c, "for n in 1 2 3 4 5 6; do cat {{env.AETHERFLOW_ACTIVE_DIR}}/part.*; sleep 0.2; done"]
          log: {stdout: capture}
        outputs: {said: "{{result.stdout}}"}
"""


def test_flows_and_syncs_at_the_same_time(bench: Bench) -> None:
    """20 flows and 20 syncs while the source changes: each flow reads one version from its beginning to its end."""
    scene = Scene(bench)

    def publish(version: int) -> None:
        # a source that changes under a sync is refused: it is replaced as a whole
        fresh = scene.folder / f"release-{version}"
        fresh.mkdir()
        for name, text in {"flow.yaml": READING, "profiles.yaml": "{}\n"}.items():
            (fresh / name).write_text(text)
        for part in range(5):
            (fresh / f"part.{part}").write_text(f"{version}\n")
        (scene.folder / "bundle.next").write_text(MANIFEST.replace("base_path: release", f"base_path: {fresh.name}"))
        (scene.folder / "bundle.next").replace(scene.folder / "bundle.yaml")

    publish(0)
    number = sized(4, 20)
    command = [sys.executable, "-m", "aetherflow.core"]
    option = ["--bundle-manifest", "bundle.yaml", "--json"]
    env = {**scene.env, "AETHERFLOW_STATE_ROOT": str(scene.folder / "state")}

    def start(*arguments: str) -> "subprocess.Popen[str]":
        argv, pipe = [*command, *arguments, *option], subprocess.PIPE
        return warm.Popen(argv, cwd=scene.folder, env=env, stdout=pipe, stderr=pipe, text=True)

    flows, syncs = [], []
    for each in range(number):
        flows.append(start("run", "--run-id", f"r{each}"))
        syncs.append(start("bundle", "sync"))
        publish(each + 1)
    with suite("P12 together", 10) as counted:
        for each, sync in enumerate(syncs):
            with counted.case(f"sync {each}"):
                out, err = sync.communicate(timeout=120)
                assert sync.returncode == 0, out + err
        for each, flow in enumerate(flows):
            with counted.case(f"flow {each}"):
                out, err = flow.communicate(timeout=120)
                assert flow.returncode == 0, out + err
        with contextlib.closing(sqlite3.connect(scene.folder / "state" / "reader.sqlite")) as state:
            for run_id, outputs in state.execute("SELECT run_id, outputs FROM job_runs").fetchall():
                with counted.case(f"what {run_id} read"):
                    read = json.loads(outputs)["said"].split()
                    assert len(read) == 30
                    assert len(set(read)) == 1, f"torn: {read}"
