from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption, FlowYamlOption, RunHooksOption
from aetherflow.core.cli.flow_source import AllowStaleOption, ManifestOption
from aetherflow.core.console.streams import print_text, reserve_stdout

if TYPE_CHECKING:
    from aetherflow.core.checks.checked import Checked


def complete_kind(incomplete: str) -> list[str]:
    """Kinds of documents that start with `incomplete`, for shell completion."""
    from aetherflow.core.checks.kinds import known_kinds

    return [name for name in known_kinds() if name.startswith(incomplete)]


def checked_kind(name: str) -> str:
    """The name, if it is a known kind of document; else UsageError."""
    from aetherflow.core.base.suggest import did_you_mean
    from aetherflow.core.checks.kinds import KINDS, known_kinds
    from aetherflow.core.host.first_party import program_for
    from aetherflow.core.host.installing import install_command

    if name in KINDS or name in (known := known_kinds()):
        return name
    program = program_for(name)
    fix = install_command(of=program) if program else did_you_mean(name, known, what="kinds")
    raise UsageError(f"no kind of document is called {name!r}", fix=fix)


class Format(StrEnum):
    text = "text"
    json = "json"
    github = "github"
    junit = "junit"


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", readable=False, help="Documents, or folders of them.", show_default=False),
    ] = None,
    flow_yaml: FlowYamlOption = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="flow, profiles, project, manifest, policy, env-files, or of an installed program; else recognised.",
            autocompletion=complete_kind,
        ),
    ] = None,
    bundle_manifest: ManifestOption = None,
    allow_stale_bundle: AllowStaleOption = False,
    config: ConfigOption = None,
    run_hooks: RunHooksOption = False,
    form: Annotated[Format, typer.Option("--format", help="Form of the report.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
) -> None:
    """Check documents without running anything: every mistake, at its line, with its fix.

    Documents are flows, profiles, project files (aetherflow.yaml), bundle manifests, lists of env files, and those of
    installed programs such as scheduler.yaml. They are recognised by name and content; in a folder all documents are
    checked. Of several paths, as a shell gives for flows/*.yaml, those that are no document are SKIPPED. With
    --bundle-manifest the bundle is synced and its flow is checked in the environment of a run. Prints OK or INVALID for
    each file; exit code 2 if one is invalid. No driver is imported, no server is contacted.

    Example: aetherflow validate flow.yaml
    """
    from aetherflow.core.checks.documents import check_paths
    from aetherflow.core.checks.kinds import Environment
    from aetherflow.core.cli.arguments import flow_paths
    from aetherflow.core.cli.reports import FORMATS

    reserve_stdout(as_json or form is not Format.text)
    if bundle_manifest is not None:
        checked = [_in_bundle(bundle_manifest, paths, flow_yaml, allow_stale_bundle, config, run_hooks)]
        print_text(FORMATS["json" if as_json else form.value](checked, True) + "\n")
        raise typer.Exit(0 if checked[0].ok else 2)
    named = flow_paths(paths, flow_yaml)
    environment = Environment(config, run_hooks=run_hooks)
    wanted = checked_kind(kind) if kind is not None else None
    checked, folders = check_paths(named, environment, wanted)
    single = len(checked) == 1 and not folders
    print_text(FORMATS["json" if as_json else form.value](checked, single) + "\n")
    raise typer.Exit(0 if all(item.ok for item in checked) else 2)


def _in_bundle(
    manifest: Path,
    paths: list[Path] | None,
    flow_yaml: Path | None,
    allow_stale: bool,
    config: Path | None,
    run_hooks: bool,
) -> "Checked":
    from aetherflow.core.base.errors import SpecError
    from aetherflow.core.base.problems import Problems
    from aetherflow.core.checks.checked import Checked
    from aetherflow.core.checks.insecure import insecure
    from aetherflow.core.checks.report import check_flow
    from aetherflow.core.cli.flow_source import flow_source, signed_line

    if paths and len(paths) > 1:
        raise UsageError("with --bundle-manifest one flow is checked", fix="name one path in the bundle, or none")
    source = flow_source(paths[0] if paths else None, flow_yaml, manifest, allow_stale=allow_stale)
    try:
        with source.open(config=config, run_hooks=run_hooks) as (path, snapshot):
            checked = check_flow(path, snapshot)
            checked.problems.extend(insecure(checked, snapshot))
            for line in signed_line(snapshot):
                typer.echo(line, err=True)
            return checked
    except SpecError as error:  # the manifest is invalid
        problems = Problems()
        problems.extend(error.problems)
        return Checked(str(manifest), None, None, problems, kind="manifest")
