"""Steps that claim, for the tests of claims: a pick-up from a folder, and a load that notes what it was given."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aetherflow.core.api import ClaimBusyError, Step, StepError, StepResult, register_step
from aetherflow.core.kernel.state.ownership import RunLock

FLOW = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: %s}}
jobs:
  - id: take
    steps:
      - {id: pick, type: test_pick_up, inputs: {after: %s}, on_no_data: skip_job}
  - id: load
    depends_on: [take]
    steps: [{id: load, type: test_load, inputs: {job: take}}]
"""
"""A pick-up and its load: with the cleanup policy, and what becomes of a file in the inbox (`keep`, `move`).

The variable FAIL says where a step fails.
"""

FIND = """\
version: 1
flow: {id: f, workspace: {cleanup_policy: never}}
jobs:
  - id: take
    steps:
      - {id: find, type: file_find, inputs: {path: "{{env.INBOX}}", new_only: true, on_unfinished: leave, on_empty: ok}}
  - {id: after, depends_on: [take], steps: [{id: s, type: test_fail_after}]}
"""
"""A real `file_find` whose claims stay open, since the job behind it fails."""


def flow(cleanup: str = "never", after: str = "keep") -> str:
    return FLOW % (cleanup, after)


@register_step("test_pick_up")
class PickUp(Step[Any]):
    """Takes the files of `inbox` beside the flow, each once; those that an ended run has claimed, too."""

    def run(self) -> StepResult:
        """Do it: copy, claim, commit, and only then move away."""
        ledger = self.ctx.ledger("picked")
        inbox = Path(str(self.ctx.env["INBOX"]))
        others, own = ledger.open_claims(), ledger.own_claims()
        left = {**{key: claim for key, claim in others.items() if not claim.alive}, **own}
        busy = sorted(key for key, claim in others.items() if claim.alive)
        taken = []
        for name in sorted({path.name for path in inbox.glob("*.txt")} | left.keys()):
            if name in busy or ledger.get(name) is not None:
                continue
            source = inbox / name
            found = source if source.exists() else ledger.artifact_of(left[name])
            data = found.read_bytes()
            with self.ctx.write_file(name) as file:
                file.write(data)
            artifact = self.ctx.artifacts_dir(self.job_id) / name
            claim = ledger.claim(name, {"text": data.decode()}, artifact=artifact)
            taken.append({"key": name, "identity": claim.identity, "from": claim.taken_from, "file": str(artifact)})
        if self.ctx.env.get("FAIL") == "before":
            raise StepError("before the claims are committed")
        ledger.commit_claims()
        if self.ctx.env.get("FAIL") == "claimed":
            raise StepError("before the source is changed")
        for each in taken:
            if self.inputs.get("after") == "move":
                (inbox / str(each["key"])).unlink(missing_ok=True)
        if self.ctx.env.get("FAIL") == "moved":
            raise StepError("after the source was changed")
        output = {"files": taken, "busy": busy, "taken_over_from": sorted({t["from"] for t in taken if t["from"]})}
        return StepResult(output=output) if taken else StepResult("SKIPPED", output, "nothing new")


@register_step("test_load")
class Load(Step[Any]):
    """Notes the identity of each file that a job has taken, once per identity as a load by `load_id` does."""

    def run(self) -> StepResult:
        if self.ctx.env.get("FAIL") == "load":
            raise StepError("the load failed")
        effects = Path(str(self.ctx.env["EFFECTS"]))
        done = effects.read_text().splitlines() if effects.exists() else []
        folder = self.ctx.artifacts_dir(self.inputs["job"])
        for file in sorted(folder.glob("*.txt")):
            line = f"{file.name} {file.read_text()}"
            if line not in done:
                with effects.open("a") as out:
                    out.write(line + "\n")
        if self.ctx.env.get("FAIL") == "loaded":
            raise StepError("after the load")
        return StepResult()


@register_step("test_fail_after")
class FailAfter(Step[Any]):
    """Fails if FAIL is `after`."""

    def run(self) -> StepResult:
        if self.ctx.env.get("FAIL") == "after":
            raise StepError("after all that")
        return StepResult()


@register_step("test_two_flows")
class TwoFlows(Step[Any]):
    """Runs child.yaml and another.yaml."""

    def run(self) -> StepResult:
        for name in ("child.yaml", "another.yaml"):
            self.ctx.call_flow(self.ctx.asset_path(name))
        return StepResult()


@register_step("test_watermark")
class Watermark(Step[Any]):
    """Reads the lines of a file from a watermark on, and claims its new value."""

    def run(self) -> StepResult:
        ledger = self.ctx.ledger("marks")
        if any(claim.alive for claim in ledger.open_claims("lines").values()):
            raise ClaimBusyError("another run reads")
        before = ledger.get("lines", 0)
        rows = Path(str(self.ctx.env["INBOX"]), "rows").read_text().split()
        claim = ledger.claim("lines", len(rows))
        if self.ctx.env.get("FAIL"):
            ledger.commit_claims()
            raise StepError("no")
        return StepResult(output={"rows": rows[before:], "before": before, "identity": claim.identity})


@register_step("test_claim")
class OneClaim(Step[Any]):
    """Claims a key, asking nobody before; what it sees are its outputs."""

    def run(self) -> StepResult:
        ledger = self.ctx.ledger("marks")
        before = ledger.get("k")
        claim = ledger.claim("k", self.inputs.get("value", 1))
        seen = [ledger.get("k"), ledger.scan()["k"], ledger.own_claims()["k"].value, [*ledger.open_claims()]]
        return StepResult(output={"before": before, "seen": seen, "from": claim.taken_from})

    def plan(self) -> list[str]:
        """Claiming is not for plans."""
        ledger = self.ctx.ledger("marks")
        found = [*ledger.open_claims(), *ledger.own_claims()]
        if self.inputs.get("plan") == "claim":
            ledger.claim("k", 1)
        if self.inputs.get("plan") == "commit":
            ledger.commit_claims()
        return [f"open: {found}"]


def claims(project: Any) -> list[tuple[str, str, str, str | None]]:
    """Key, run, state and predecessor of every claim."""
    return [tuple(row) for row in project.rows("SELECT key, run_id, state, taken_from FROM claims ORDER BY at, run_id")]


def ledger(project: Any) -> dict[str, Any]:
    """What is final."""
    return {key: json.loads(value) for key, value in project.rows("SELECT key, value FROM ledger ORDER BY key")}


def run(project: Any, run_id: str, *more: str, fail: str = "", code: int = 0) -> str:
    """Run flow.yaml; with FAIL it has to end with 1, else with `code`. Returns all that it says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL", fail)
        done = project.cli("run", "flow.yaml", "--run-id", run_id, *more)
    assert done.code == (1 if fail else code), done.err
    return str(done.out + done.err)


@contextlib.contextmanager
def running(project: Any, run_id: str) -> Iterator[None]:
    """As if a process executed the run."""
    lock = RunLock(project.states / "f.sqlite.d" / "runs" / "f" / f"{run_id}.lock")
    lock.acquire(run_id)
    yield
    lock.release()


def change(project: Any, sql: str) -> None:
    """Change the state of flow `f`."""
    with contextlib.closing(sqlite3.connect(project.state)) as db, db:
        db.execute(sql)
