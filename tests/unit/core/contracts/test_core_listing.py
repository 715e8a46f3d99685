"""Listings between two steps: stored as JSON, read as maps and as records."""

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from aetherflow.core import api, runner
from aetherflow.core.contracts.listing import FileRecord, as_inputs
from aetherflow.core.host import catalog

if TYPE_CHECKING:
    from core_project import Project

FLOW = """\
resources: {{}}
jobs:
  - id: a
    steps:
      - {{id: list, type: lists}}
      - {{id: use, type: {step}, inputs: {{files: "{{{{steps.list.files}}}}"}}}}
"""
FOUND = api.RemoteFileMeta(rel_path="deep/a.csv", path="/in/deep/a.csv", name="a.csv", size=3, mtime=1.5)


class Lists(api.Step[Any]):
    """A list step of a plugin that was written for 1.0: it returns what the connector gave it."""

    def run(self) -> dict[str, Any]:
        return {"files": [FOUND]}


class Attributes(api.Step[Any]):
    """A step that reads the records as objects, fails once, and returns them."""

    def run(self) -> dict[str, Any]:
        (file,) = self.inputs["files"]
        for name in ("rel_path", "path", "name", "is_dir", "size", "mtime", "sha256"):
            assert getattr(file, name) == file[name] == getattr(FOUND, name)
        if self.ctx.attempt == 1:
            raise RuntimeError("once")
        assert json.loads(json.dumps(self.inputs["files"])) == self.inputs["files"]
        return {"files": self.inputs["files"]}


class TypedInputs(api.StepInputs):
    """A list of whatever comes."""

    files: list[Any]


class Typed(api.Step[TypedInputs]):
    """A typed step that does not say what the records are."""

    def run(self) -> dict[str, Any]:
        return {"files": [{"path": file.path} for file in self.args.files]}


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for name, step in {"lists": Lists, "attributes": Attributes, "typed": Typed}.items():
        api.register_step(name)(step)


def outputs(project: "Project") -> dict[str, Any]:
    return dict(project.rows("select step_id, outputs from step_runs where status = 'SUCCESS'"))


def test_a_listing_is_read_by_attribute_and_by_key_also_after_a_resume(project: "Project") -> None:
    path = project.flow(FLOW.format(step="attributes"))
    with pytest.raises(api.RunFailedError):
        runner.run_flow(path, run_id="one", env=project.env)
    runner.run_flow(path, run_id="one", env=project.env)
    stored = outputs(project)
    assert stored["use"] == stored["list"], "it is passed on as the plain map that it was"


def test_a_typed_step_reads_it_too(project: "Project") -> None:
    runner.run_flow(project.flow(FLOW.format(step="typed")), run_id="one", env=project.env)
    assert json.loads(outputs(project)["use"]) == {"files": [{"path": FOUND.path}]}


def test_a_record_is_a_map_that_says_what_it_has() -> None:
    (found,) = as_inputs([{"path": "/a", "rel_path": "a", "more": {"rel_path": "b", "path": "/b"}}])
    assert found == {"path": "/a", "rel_path": "a", "more": {"rel_path": "b", "path": "/b"}}
    assert found.more.path == "/b"
    with pytest.raises(AttributeError, match="has no 'nmae'; it has path, rel_path, more"):
        _ = found.nmae
    with pytest.raises(AttributeError):
        found.path = "/b"
    for copied in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert (copied, type(copied)) == (found, FileRecord)


def test_other_maps_stay_what_they_are() -> None:
    given = {"a": {"path": "/a"}, "b": [{"rel_path": "b"}], "c": ({"path": "", "rel_path": ""},)}
    found = as_inputs(given)
    assert found == given
    assert {type(found), type(found["a"]), type(found["b"][0]), type(found["c"][0])} == {dict}
