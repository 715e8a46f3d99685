"""A resumed run makes again what it needs and no longer has: outputs that were secret, files that are gone."""

from typing import TYPE_CHECKING

import pytest
from core_hard_cases import RUN, stored

if TYPE_CHECKING:
    from core_project import Project


@pytest.mark.parametrize(
    ("reads", "again"),
    [
        ("{{job.outputs.t}}", True),
        ("{{job.outputs}}", True),
        ("{{job.outputs.plain}}", False),
        ("{{steps.one.v}}", True),
        ("{{steps.one.file:none}}", False),
    ],
)
def test_a_secret_output_is_made_again_for_who_reads_it(
    project: "Project", monkeypatch: pytest.MonkeyPatch, reads: str, again: bool
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3tvalue")
    project.flow(
        f"""\
        jobs:
          - id: a
            steps:
              - id: one
                type: hard_note
                inputs: {{v: "{{{{env.MY_TOKEN}}}}"}}
                outputs: {{t: "{{{{result.v}}}}", plain: p}}
              - {{id: two, type: hard_note, inputs: {{v: "{reads}"}}}}
        """
    )
    fail = project.effects.with_name("fail_two")
    fail.touch()
    assert project.cli(*RUN).code == 1
    assert stored(project, "s3cr3tvalue") == []
    fail.unlink()
    done = project.cli(*RUN)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in project.lines()] == (["one", "two"] * 2 if again else ["one", "two", "two"])
    assert project.lines()[1] == project.lines()[-1], "it reads the same both times"


@pytest.mark.parametrize("reads", ["{{job.outputs.made}}", "{{job.outputs.all}}", "{{job.outputs}}", "{{steps.one}}"])
def test_a_file_that_is_gone_is_made_again_for_who_names_it(project: "Project", reads: str) -> None:
    project.flow(
        f"""\
        jobs:
          - id: a
            steps:
              - id: one
                type: hard_note
                inputs: {{file: x.txt}}
                outputs: {{made: "{{{{result.file}}}}", all: "{{{{result}}}}"}}
              - {{id: two, type: hard_note, inputs: {{v: "{reads}"}}}}
        """
    )
    fail = project.effects.with_name("fail_two")
    fail.touch()
    assert project.cli(*RUN).code == 1
    fail.unlink()
    (project.artifacts("a", "r") / "x.txt").unlink()
    told = project.cli("plan", "flow.yaml", "--run-id", "r")
    assert "a.two needs x.txt, which is gone" in told.out
    assert project.cli(*RUN).code == 0
    assert [line.split()[0] for line in project.lines()] == ["one", "two"] * 2


def test_a_file_that_the_cleanup_took_is_made_again_for_who_names_it(project: "Project") -> None:
    flow = project.flow(
        """\
        jobs:
          - id: a
            steps:
              - {id: zero, type: hard_note, inputs: {file: y.txt}}
              - {id: one, type: hard_note, inputs: {file: x.txt}}
              - {id: two, type: hard_note, inputs: {v: "{{steps.one.file}}"}}
        """
    )
    flow.write_text(flow.read_text().replace("{id: f}", "{id: f, workspace: {cleanup_policy: always}}"))
    fail = project.effects.with_name("fail_two")
    fail.touch()
    assert project.cli(*RUN).code == 1
    assert not (project.artifacts("a", "r") / "x.txt").exists()
    fail.unlink()
    assert project.cli(*RUN).code == 0
    assert [line.split()[0] for line in project.lines()] == ["zero", "one", "two", "one", "two"]
