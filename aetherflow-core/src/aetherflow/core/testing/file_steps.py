"""Tests that run the built-in steps for files over a connector, end to end."""

import os
import uuid
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aetherflow.core.api import FileConnector, list_steps
from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.crash_runs import artifacts, files_below
from aetherflow.core.testing.file_content import content
from aetherflow.core.testing.project import FlowProject, Ran

CHANGING = (
    "write", "append", "write_together", "rename", "remove", "make_folder",
    "write_bytes", "upload", "download", "delete", "mkdir_recursive",
)  # fmt: skip
"""Methods of a FileConnector, or of the documented minimum, that have an effect."""
STEPS = ("remote_list", "remote_download", "remote_upload", "remote_move", "remote_delete")


def names(peer: Any, folder: str) -> list[str]:
    """The names in a folder at the peer."""
    return [each.name for each in (peer.entries(folder) if isinstance(peer, FileConnector) else peer.list(folder))]


def tree(peer: Any, folder: str) -> dict[str, bytes]:
    """Names and contents of the files below a folder at the peer."""
    found: dict[str, bytes] = {}
    for each in peer.entries(folder) if isinstance(peer, FileConnector) else peer.list(folder):
        path = f"{folder}/{each.name}"
        if each.is_dir:
            found |= {f"{each.name}/{name}": data for name, data in tree(peer, path).items()}
        else:
            found[each.name] = content(peer, path) if isinstance(peer, FileConnector) else peer.read_bytes(path)
    return found


class FileSteps(ConnectorSuite):
    """What the built-in steps do over the connector. They are those of aetherflow-builtins-transfer."""

    can_rename: ClassVar[bool]

    @pytest.fixture
    def flow(self, tmp_path: Path) -> FlowProject:
        """A project for flows with a resource `peer`."""
        missing = sorted({*STEPS} - {*list_steps()})
        if missing:
            pytest.skip("needs aetherflow-builtins-transfer, whose steps it runs")
        return FlowProject(tmp_path / "flow")

    def _run(self, flow: FlowProject, place: Path, *steps: dict[str, Any], run_id: str | None = None) -> Ran:
        peer = {"kind": self.kind, "driver": self.driver, "config": self.config(place), "options": self.options(place)}
        flow.flow(*steps, resources={"peer": peer})
        return flow.run(run_id=run_id)

    @staticmethod
    def _step(what: str, **inputs: Any) -> dict[str, Any]:
        return {"id": what, "type": f"remote_{what}", "inputs": {"resource": "peer"} | inputs}

    @staticmethod
    def _given(flow: FlowProject, files: dict[str, bytes]) -> list[str]:
        folder = flow.work / "given"
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return [str(folder / name) for name in files]

    def test_the_steps_deliver_and_bring_back(self, flow: FlowProject, place: Path, remote: str) -> None:
        """What remote_upload sends, with control files, is what remote_list finds and remote_download brings."""
        files = {"empty.csv": b"", "small.csv": b"a,b\n1,2\n", "large.csv": os.urandom(3_000_000), "\u00e4 b.csv": b"x"}
        folder = f"{remote}/out/new"
        ran = self._run(
            flow,
            place,
            self._step("upload", items=self._given(flow, files), remote_dir=folder, control_files=["sha256"]),
            self._step("list", remote_dir=f"{remote}/out", pattern="*.csv", recursive=True),
            self._step(
                "download", files="{{steps.list.files}}", dest_dir="got", control_files=["sha256"], verify="size"
            ),
        )
        assert ran.error is None, ran.error
        assert sorted(each["name"] for each in ran["list"].outputs["files"]) == sorted(files)
        got = flow.artifacts(ran) / "got/new"
        same = {path.name: path.read_bytes() for path in got.iterdir()} == files
        assert same, "other names or contents"

    def test_the_steps_do_it_once(self, flow: FlowProject, place: Path, remote: str) -> None:
        """A second run delivers nothing, and takes nothing, that the first one has."""
        items = self._given(flow, {"a": b"one", "b": b"two"})
        steps = (
            self._step("upload", items=items, remote_dir=remote),
            self._step("list", remote_dir=remote, new_only=True, min_count=0),
            self._step("download", files="{{steps.list.files}}", dest_dir="got"),
        )
        first, second = self._run(flow, place, *steps), self._run(flow, place, *steps)
        assert first.error is None, first.error
        assert second.error is None, second.error
        assert [each["status"] for each in first["upload"].outputs["files"]] == ["uploaded", "uploaded"]
        assert [each["status"] for each in second["upload"].outputs["files"]] == ["unchanged", "unchanged"]
        assert (first["download"].outputs["count"], second["list"].outputs["count"]) == (2, 0)

    def test_the_steps_replace_only_when_asked(self, flow: FlowProject, place: Path, remote: str) -> None:
        """`overwrite: false` fails and keeps what is there; the default replaces it."""
        (item,) = self._given(flow, {"a": b"old"})
        assert self._run(flow, place, self._step("upload", items=item, remote_dir=remote)).error is None
        self._given(flow, {"a": b"new"})
        refused = self._run(flow, place, self._step("upload", items=item, remote_dir=remote, overwrite=False))
        assert refused.error is not None
        assert self._content(flow, place, f"{remote}/a") == b"old"
        assert self._run(flow, place, self._step("upload", items=item, remote_dir=remote)).error is None
        assert self._content(flow, place, f"{remote}/a") == b"new"

    def _content(self, flow: FlowProject, place: Path, path: str) -> bytes:
        ran = self._run(flow, place, self._step("download", files=[path], dest_dir="content"))
        assert ran.error is None, ran.error
        return (flow.artifacts(ran) / "content" / path.rpartition("/")[2]).read_bytes()

    def test_the_steps_clear_what_was_brought(self, flow: FlowProject, place: Path, remote: str) -> None:
        """By `after`, and by remote_move and remote_delete; what is gone already is no failure."""
        items = self._given(flow, {name: name.encode() for name in "abc"})
        steps = [
            self._step("upload", items=items, remote_dir=f"{remote}/in"),
            self._step("download", files=[f"{remote}/in/a"], dest_dir="got", after="delete"),
            self._step("delete", files=[f"{remote}/in/a", f"{remote}/in/b"]),
        ]
        left = {"c"}
        if self.can_rename:
            steps.append(self._step("move", files=[f"{remote}/in/c"], dest_dir=f"{remote}/done"))
            left = {"done/c"}
        ran = self._run(flow, place, *steps, self._step("list", remote_dir=remote, recursive=True, min_count=0))
        assert ran.error is None, ran.error
        assert (ran["delete"].outputs["count"], ran["delete"].outputs["missing"]) == (1, [f"{remote}/in/a"])
        found = {each["rel_path"].removeprefix("in/") for each in ran["list"].outputs["files"]}
        assert found == left

    def test_a_run_that_failed_goes_on(self, flow: FlowProject, place: Path, remote: str) -> None:
        """The files that arrived are not sent again, and those that were missing are."""
        one, two = self._given(flow, {"a": b"one", "b": b"two"})
        Path(two).unlink()
        step = self._step("upload", items=[one, two], remote_dir=remote, parallelism={"fail_fast": False})
        failed = self._run(flow, place, step)
        assert failed.error is not None
        self._given(flow, {"b": b"two"})
        again = flow.run(run_id=failed.summary.run_id)
        assert again.error is None, again.error
        assert self._content(flow, place, f"{remote}/a") == b"one"
        assert self._content(flow, place, f"{remote}/b") == b"two"

    def test_a_missing_file_is_a_clear_failure(self, flow: FlowProject, place: Path, remote: str) -> None:
        """It names the resource and the path, and no part stays behind."""
        ran = self._run(flow, place, self._step("download", files=[f"{remote}/gone"], dest_dir="got"))
        assert ran.error is not None
        told = f"{ran.error}"
        assert "resource peer" in told
        assert f"{remote}/gone" in told

    def test_the_steps_survive_a_kill(self, flow: FlowProject, place: Path, peer: Any, remote: str) -> None:
        """A run that is killed around the calls of the connector, and run again, leaves the same files at both ends."""
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip
        folders: dict[Path, str] = {}

        def arrange(project: FlowProject) -> None:
            folder = folders[project.folder] = f"{remote}/{uuid.uuid4().hex[:8]}"
            items = self._given(project, {"a": b"one", "b": bytes(range(256)) * 700, "c": b""})
            steps = [
                self._step("upload", items=items, remote_dir=f"{folder}/in", control_files=["sha256"]),
                self._step("list", remote_dir=f"{folder}/in", pattern="?", min_count=3),
                self._step("download", files="{{steps.list.files}}", dest_dir="got"),
                self._step("delete", files=[f"{folder}/in/b"]),
            ]
            if self.can_rename:
                steps.append(self._step("move", files=[f"{folder}/in/a"], dest_dir=f"{folder}/done"))
            project.flow(*steps, resources={"peer": resource})

        def effects(project: FlowProject) -> Any:
            folder = folders[project.folder]
            name = folder.rpartition("/")[2]
            there = tree(peer, folder) if name in names(peer, remote) else {}
            return there, files_below(artifacts(project))

        self.kill_and_run_again(flow.folder / "kills", arrange, effects, methods=CHANGING)
