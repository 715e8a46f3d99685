"""Commands of installed distributions: listed without an import, called, refused, in conflict."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core_project import Project

APP = """
import pathlib
import typer

pathlib.Path("imported").write_text("")
app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Greet people.")

@app.command()
def hello(name: str, loud: bool = False):
    "Greet somebody."
    typer.echo(name.upper() if loud else name)
    raise typer.Exit(4 if name == "nobody" else 0)
"""
CLICK = """
import click

@click.command(help="Count.")
@click.option("--n", type=int, required=True)
def app(n):
    click.echo(n + 1)
    if n > 5:
        raise SystemExit(9)
"""


def command(project: "Project", distribution: str, name: str = "hello", module: str = APP) -> None:
    own = distribution.replace("-", "_")
    project.plugin(distribution, f"[aetherflow.commands]\n{name} = {own}:app\n")
    project.module(own, module)


def was_imported(project: "Project") -> bool:
    mark = project.folder / "imported"
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def test_a_command_is_imported_when_it_is_called(project: "Project") -> None:
    command(project, "acme")
    for arguments in (["--help"], ["plugins", "list"], ["wrap", "--help"], ["--version"]):
        assert project.command(*arguments).code == 0
        assert not was_imported(project), arguments
    assert "  hello       acme\n" in project.command("--help").out
    done = project.command("hello", "you", "--loud")
    assert (done.code, done.out) == (0, "YOU\n")
    assert was_imported(project)
    assert project.command("hello", "nobody").code == 4
    assert "Greet somebody." in project.command("hello", "--help").out
    wrong = project.command("hello", "--quiet")
    assert wrong.code == 2
    assert "--quiet" in wrong.err


def test_the_help_has_the_summary_of_the_distribution(project: "Project") -> None:
    command(project, "acme")
    (metadata,) = project.site.glob("acme*/METADATA")
    metadata.write_text(metadata.read_text() + "Summary: Greetings.\n")
    assert "  hello       acme: Greetings.\n" in project.command("--help").out


def test_a_typing_error_is_answered_with_a_suggestion_and_imports_nothing(project: "Project") -> None:
    command(project, "acme")
    done = project.command("hallo")
    assert done.code == 2
    assert "Did you mean 'hello'?" in done.err
    assert not was_imported(project)


def test_a_shell_completes_it(project: "Project") -> None:
    command(project, "acme")
    asked = {"_AETHERFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "aetherflow he", "COMP_CWORD": "1"}
    assert project.command(env=asked).out.split() == ["hello"]
    assert not was_imported(project)
    command(project, "beta")
    done = project.command(env={**asked, "COMP_WORDS": "aetherflow ru"})
    assert (done.out.split(), done.err) == (["run", "runs"], "")


def test_a_command_of_click(project: "Project") -> None:
    command(project, "acme", "count", CLICK)
    assert project.command("count", "--n", "3").out == "4\n"
    assert project.command("count", "--n", "7").code == 9
    assert project.command("count", "--help").out.startswith("Usage: aetherflow count [OPTIONS]\n\n  Count.\n")
    done = project.command("count", "--n", "x")
    assert done.code == 2
    assert "'x' is not a valid integer" in done.err
    assert "Traceback" not in done.err


def test_an_error_of_ours_is_shown_as_ours(project: "Project") -> None:
    raising = "    from aetherflow.core.api import UsageError\n    raise UsageError(name)\n    typer.echo(name"
    command(project, "acme", module=APP.replace("    typer.echo(name", raising))
    done = project.command("hello", "no such thing")
    assert (done.code, done.err) == (2, "AF0002 no such thing\n")


def test_two_distributions_with_one_command(project: "Project") -> None:
    command(project, "acme")
    command(project, "beta", module=CLICK)
    for arguments, code in ((["--help"], 0), (["hello", "you"], 2)):
        done = project.command(*arguments)
        assert (done.code, "  hello " in done.out) == (code, False)
        assert "AF2103 2 installed distributions provide command 'hello': acme 1.0 acme:app; beta 1.0" in done.err
        assert "plugins: {prefer: {commands.hello: acme}}" in done.err
    assert "AF2103" in project.command("plugins", "check").out
    assert statuses(project) == {"acme": "conflict", "beta": "conflict", "aetherflow-core": "ok"}
    project.write("version: 1\nplugins: {prefer: {commands.hello: acme}}\n", "aetherflow.yaml")
    assert project.command("hello", "you").out == "you\n"
    assert project.command("--help").code == 0
    assert statuses(project) == {"acme": "ok", "beta": "not preferred", "aetherflow-core": "ok"}


def test_a_command_with_the_name_of_a_built_in_one(project: "Project") -> None:
    command(project, "acme", "run")
    done = project.command("--help")
    assert (done.code, done.out.count("\n  run ")) == (0, 1)
    assert "AF2103 2 installed distributions provide command 'run': aetherflow-core" in done.err
    assert "acme 1.0 acme:app" in done.err
    checked = project.command("plugins", "check")
    assert (checked.code, "AF2103" in checked.out, was_imported(project)) == (1, True, True)
    assert "FLOW" in project.command("run", "--help").out  # one of ours does not ask for those of others
    assert statuses(project) == {"acme": "conflict", "aetherflow-core": "ok"}
    for choice in ("acme", "aetherflow-core"):
        project.write(f"version: 1\nplugins: {{prefer: {{commands.run: {choice}}}}}\n", "aetherflow.yaml")
        assert "FLOW" in project.command("run", "--help").out
        done = project.command("--help")
        assert (done.code, "AF2103" in done.err) == (0, choice == "acme")
    assert not was_imported(project)


def test_a_command_with_the_name_of_one_of_a_hook(project: "Project") -> None:
    project.env["PYTHONWARNINGS"] = "error,ignore::DeprecationWarning"
    command(project, "acme")
    project.plugin("beta", "[aetherflow.hooks]\nx = beta\n")
    project.module(
        "beta",
        """
        from aetherflow.core.api import hookimpl
        @hookimpl
        def aetherflow_add_commands(app):
            @app.command("hello")
            def hello():
                "Of a hook."
        """,
    )
    done = project.command("--help")
    assert (done.code, "\n  hello       acme\n" in done.out) == (0, True)
    assert "hook beta:x: add_commands adds 'hello', which acme 1.0 has already" in done.err
    assert project.command("hello", "you").out == "you\n"


def test_a_refused_distribution_is_no_rival(project: "Project") -> None:
    command(project, "acme", "run")
    command(project, "beta")
    command(project, "gamma")
    project.write("version: 1\npolicy: {mode: enterprise}\nplugins: {allow: [beta]}\n", "aetherflow.yaml")
    assert project.command("--help").code == 0
    assert statuses(project) == {"acme": "refused", "beta": "ok", "gamma": "refused", "aetherflow-core": "ok"}
    assert project.command("hello", "you").out == "you\n"
    assert was_imported(project)
    (project.site / "acme.py").write_text("1 / 0")
    (project.site / "gamma.py").write_text("1 / 0")
    assert project.command("plugins", "check").code == 0


def test_enterprise_mode_wants_commands_on_the_list(project: "Project") -> None:
    command(project, "acme")
    project.write("version: 1\npolicy: {mode: enterprise}\n", "aetherflow.yaml")
    shown = project.command("--help")
    assert shown.code == 0
    assert "hello" not in shown.out
    assert "wrap" in shown.out
    done = project.command("hello", "you")
    assert done.code == 2
    assert "AF2104 command 'hello' of acme 1.0 is not allowed in enterprise mode" in done.err
    assert not was_imported(project)
    assert statuses(project) == {"acme": "refused", "aetherflow-core": "ok"}
    assert project.command("plugins", "check").code == 0
    assert not was_imported(project)
    project.write("version: 1\npolicy: {mode: enterprise}\nplugins: {allow: [acme]}\n", "aetherflow.yaml")
    assert project.command("hello", "you").out == "you\n"


def test_no_distribution_can_allow_itself(project: "Project") -> None:
    project.plugin("acme", "[aetherflow.commands]\nhello = acme:app\n[aetherflow.first_party]\nacme = acme\n")
    project.module("acme", APP)
    project.write("version: 1\npolicy: {mode: enterprise}\n", "aetherflow.yaml")
    assert "AF2104 command 'hello' of acme 1.0 is not allowed" in project.command("hello", "you").err
    assert not was_imported(project)


def test_no_distribution_can_say_what_is_to_be_installed(project: "Project") -> None:
    project.plugin("acme", "[aetherflow.hints]\nsteps.acme_load = sftp\n")
    project.write("version: 1\nflow: {id: f}\njobs: [{id: a, steps: [{id: s, type: acme_load}]}]\n", "flow.yaml")
    done = project.command("validate", "flow.yaml")
    assert done.code == 2
    assert "pip install" not in done.out


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("1 / 0", "cannot be loaded from acme:app: ZeroDivisionError: division by zero"),
        ("app = lambda: None", "acme:app is neither a typer app nor a click command"),
        ("raise SystemExit(3)", "cannot be loaded from acme:app: SystemExit: 3"),
    ],
)
def test_what_is_no_command(project: "Project", module: str, words: str) -> None:
    command(project, "acme", module=module)
    assert project.command("--help").code == 0
    done = project.command("hello")
    assert done.code == 2
    assert f"AF2102 command 'hello' of acme 1.0{words.join((' ', '')) if words[0] == 'c' else ': ' + words}" in done.err
    checked = project.command("plugins", "check")
    assert checked.code == 1
    assert words in checked.out


def test_what_is_known_of_a_command(project: "Project") -> None:
    command(project, "acme")
    shown = project.command("plugins", "show", "hello").out
    assert shown.startswith("command hello\n\nGreet people.\n")
    assert "usage  aetherflow hello --help" in shown
    assert json.loads(project.command("plugins", "show", "hello", "--json").out)["kind"] == "command"
    assert project.command("plugins", "show", "hell").code == 2


def statuses(project: "Project") -> dict[str, str]:
    rows = json.loads(project.command("plugins", "list", "--json").out)["plugins"]
    return {row["distribution"]: row["status"] for row in rows if row["kind"] == "command"}
