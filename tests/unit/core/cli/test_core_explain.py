"""`aetherflow explain`: every value with its origin, and no secret."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project


def explain(project: "Project", *arguments: str) -> str:
    result = project.command("explain", "flow.yaml", *arguments)
    assert result.code == 0, result.err
    return result.out


def test_a_broken_flow_is_explained_as_far_as_it_goes(project: "Project") -> None:
    project.write("flow: {id: f, wrokspace: 1}\nresources: {r: {kind: db}, s: 1, t: {config: [1]}}\njobs: x\n")
    result = project.cli("explain", "flow.yaml")
    assert result.code == 0
    assert "aetherflow validate flow.yaml" in result.err
    assert "Resource: r (db/None)" in result.out


@pytest.mark.parametrize("options", ["{pool_size: 3}", "{pool: {size: 3}}"])
def test_explain_shows_one_size_of_the_pool(project: "Project", monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    project.enter(monkeypatch)
    project.write(f"""\
        version: 1
        flow: {{id: f}}
        resources:
          erp: {{kind: db, driver: postgres, config: {{host: db, user: etl}}, options: {options}}}
        jobs: []
        """)
    shown = project.cli("explain", "flow.yaml").out
    lines = [line.split() for line in shown.splitlines() if "pool" in line and "size" in line]
    assert [(line[0], line[1]) for line in lines] in (
        [("options.pool_size", "3")],
        [("options.pool.size", "3")],
    ), shown
    assert "max_overflow  null" not in shown
