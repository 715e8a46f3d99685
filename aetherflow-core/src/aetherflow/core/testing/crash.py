"""The suite for flows that are killed while they run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from aetherflow.core.testing.crash_runs import kill_and_run_again
from aetherflow.core.testing.project import FlowProject


class CrashSuite:
    """Tests that a flow whose process is killed, and that is run again, ends as one that nobody disturbed.

    Override `arrange`, which writes the flow, and `effects`, which tells what it has done.

    class TestPost(CrashSuite):
        marks = ("acme.client:Client.post",)

        def arrange(self, project):
            project.flow({"id": "post", "type": "acme_post", "inputs": {"text": "hello"}})

        def effects(self, project):
            return (project.folder / "posted.txt").read_text() if (project.folder / "posted.txt").exists() else ""

    The runs are processes of their own: they find what is installed, and what the module of the test registers.
    """

    kills: ClassVar[int | None] = 12
    """At how many of its points a run is killed; None: at all of them, some hundred."""
    marks: ClassVar[Sequence[str]] = ()
    """Functions that have an effect, as `module:name` or `module:Class.name`: runs are killed right before and after
    their calls too; of a function that gives a context manager, before and after the end of the block."""

    def arrange(self, project: FlowProject) -> None:
        """Write `flow.yaml`, and all that it needs, into a new project; remove what the peer has of other runs."""
        raise NotImplementedError(f"override {type(self).__name__}.arrange, which writes the flow")

    def effects(self, project: FlowProject) -> Any:
        """What the run has done so far, in values that can be compared, without times and ids of runs."""
        raise NotImplementedError(f"override {type(self).__name__}.effects, which tells what the flow has done")

    def test_a_killed_run_ends_as_an_undisturbed_one(self, tmp_path: Path) -> None:
        """With the same run id, after a kill at each of the points.

        A run with an interrupted step of effect `once` ends UNKNOWN; then all effects, or none of them, are there.
        """
        kill_and_run_again(type(self), tmp_path, self.arrange, self.effects, marks=self.marks, kills=self.kills)
