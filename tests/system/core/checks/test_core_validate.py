"""`aetherflow validate`: every mistake in one go, each at its place with a fix; never a traceback."""

import json
from typing import TYPE_CHECKING

from core_validate import found, job

from aetherflow.core.api import install_command

if TYPE_CHECKING:
    from core_project import Project


def test_three_different_mistakes_are_all_reported(project: "Project") -> None:
    project.write(
        """\
        version: 1
        flow:
          id: f
          worksapce: {}
        jobs:
          - id: a
            depends_on: [b]
            steps:
              - id: x
                type: check_itmes
                inputs: {items: []}
              - id: y
                type: external.process
                inputs: {command: "{{envv.X}}", timeout_seconds: soon}
        """
    )
    result = project.command("validate", "flow.yaml")
    assert (result.code, result.err) == (2, "")
    assert found(result.out) == [
        ("AF1101", 4, 3, "did you mean 'workspace'?"),
        ("AF1203", 7, 18, "there are no other jobs"),
        ("AF2101", 10, 15, "did you mean 'check_items'?"),
        ("AF1302", 14, 28, "did you mean 'env'?"),
        ("AF1103", 14, 58, found(result.out)[4][3]),
    ]
    assert result.out.splitlines()[-1] == "INVALID: flow.yaml (5 errors, 0 warnings)"


def test_two_distributions_with_one_name_are_a_conflict_naming_both(project: "Project") -> None:
    project.plugin("acme-steps", "[aetherflow.steps]\nboth = acme:A\nacme = acme:A\n", version="2.0.1")
    project.plugin("rival", "[aetherflow.steps]\nboth = rival:B\n", version="0.3")
    project.module("acme", "raise SystemExit('imported')")
    project.write(job("{id: s, type: both}"))
    result = project.command("validate", "flow.yaml")
    assert result.code == 2
    ((af, line, column, fix),) = found(result.out)
    assert (af, line, column) == ("AF2103", 5, 19)
    assert "acme-steps 2.0.1 acme:A; rival 0.3 rival:B" in result.out
    choice = "plugins: {prefer: {steps.both: acme-steps}}"
    assert fix == f"uninstall one, or choose in the project file: {choice}"
    listing = project.command("plugins", "list", "--json")
    assert listing.code == 0
    rows = {(row["name"], row["distribution"]): row["status"] for row in json.loads(listing.out)["plugins"]}
    assert rows["both", "acme-steps"] == rows["both", "rival"] == "conflict"
    assert rows["acme", "acme-steps"] == "ok"
    project.module("rival", "class B: pass")
    project.write("plugins: {prefer: {steps.both: rival}}", "aetherflow.yaml")
    ((af, line, column, fix),) = found(project.command("validate", "flow.yaml").out)
    assert af == "AF2102", "the preferred one is taken, and its class is no step"


def test_broken_plugins_are_named_with_their_distribution(project: "Project") -> None:
    project.plugin(
        "acme-steps",
        """
        [aetherflow.steps]
        exits = exits:A
        raises = raises:A
        no_module = nowhere:A
        no_class = wrong:Nothing
        no_step = wrong:Plain
        a_function = wrong:function
        no_target = wrong
        [aetherflow.connectors]
        db.acme = wrong:Plain
        """,
    )
    project.module("exits", "import sys; sys.exit(0)")
    project.module("raises", "1 / 0")
    project.module("wrong", "class Plain: pass\ndef function(): pass\n")
    names = ["exits", "raises", "no_module", "no_class", "no_step", "a_function", "no_target"]
    steps = "".join(f"  - {{id: s{n}, type: {name}}}\n" for n, name in enumerate(names))
    resource = "resources: {r: {kind: db, driver: acme}}\n"
    project.write(f"flow: {{id: f}}\n{resource}jobs:\n- id: a\n  steps:\n{steps}")
    result = project.command("validate", "flow.yaml")
    assert (result.code, result.err) == (2, "")
    problems = found(result.out)
    assert [(af, line) for af, line, _, _ in problems] == [("AF2102", 2), *(("AF2102", 6 + n) for n in range(7))]
    assert result.out.count("of acme-steps 1.0") == 8
    assert "ZeroDivisionError" in result.out
    assert "is not a subclass of ConnectorBase" in result.out


def test_a_stale_shadowed_copy_is_no_conflict(project: "Project") -> None:
    stale = project.folder / "stale"
    project.plugin("acme-steps", "[aetherflow.steps]\nnew = acme:A\n", version="2.0")
    project.plugin("acme-steps", "[aetherflow.steps]\nnew = acme:Old\nold = acme:Old\n", version="1.0", site=stale)
    env = {"PYTHONPATH": f"{project.site}:{stale}"}
    rows = json.loads(project.command("plugins", "list", "--json", env=env).out)["plugins"]
    assert [(row["name"], row["version"], row["status"]) for row in rows if row["distribution"] == "acme-steps"] == [
        ("new", "2.0", "ok")
    ]


def test_a_half_removed_distribution_does_not_break_the_others(project: "Project") -> None:
    project.plugin("gone", "[aetherflow.steps]\nleft_over = gone:A\n")
    (project.site / "gone-1.0.dist-info/METADATA").unlink()
    result = project.command("plugins", "list")
    assert (result.code, result.err) == (0, "")
    assert "left_over" in result.out
    assert "check_items" in result.out


def test_without_its_distribution_a_known_name_is_answered_with_the_extra_at_the_installed_version(
    project: "Project",
) -> None:
    out = project.python(
        """
        import json
        from aetherflow.core.host import catalog, first_party, names
        catalog.installed_version = lambda name: None
        alone = catalog.Catalog(())
        answers = {}
        for key, value in first_party._entries(first_party.HINTS).items():
            group, _, member = key.partition(".")
            try:
                alone.find(f"aetherflow.{group}", member)
            except Exception as error:
                if group in ("steps", "connectors"):
                    answers[member] = [value.partition(":")[0], error.fix, str(error)]
        print(json.dumps(answers))
        """
    )
    answers = json.loads(out)
    assert len(answers) > 40
    for name, (extra, fix, message) in answers.items():
        assert fix == install_command(extra), name
        assert message.startswith("no installed distribution provides "), name
    assert "'db:duckdb'" in answers["db.duckdb"][2]
