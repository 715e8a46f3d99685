"""`aetherflow bundle check`: the documents of a bundle, checked as its source has them now."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption, RunHooksOption
from aetherflow.core.cli.bundle_context import ManifestFileOption
from aetherflow.core.cli.validate import Format
from aetherflow.core.console.streams import print_text, reserve_stdout

if TYPE_CHECKING:
    from aetherflow.core.checks.checked import Checked


def check(
    bundle_manifest: ManifestFileOption,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH", readable=False, help="Documents or folders in the bundle; default: all.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    run_hooks: RunHooksOption = False,
    form: Annotated[Format, typer.Option("--format", help="Form of the report.")] = Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
) -> None:
    """Check the documents of a bundle as its source has them now; the store is neither read nor changed.

    It says what `aetherflow validate` says in the bundle's folder: the same codes at the same places, as paths in the
    bundle. Exit code 2 if a document is invalid: a gate before a version is released.

    Example: aetherflow bundle check --bundle-manifest bundle.yaml
    """
    from aetherflow.core.bundle.listing import why_unsafe
    from aetherflow.core.cli.reports import FORMATS

    reserve_stdout(as_json or form is not Format.text)
    for path in paths or ():
        if path != Path() and (why := why_unsafe(path.as_posix())) is not None:
            raise UsageError(f"{str(path)!r} {why}", fix="name documents by their paths in the bundle")
    checked, folders = _checked(bundle_manifest, paths or [Path()], config, run_hooks)
    single = len(checked) == 1 and not folders
    print_text(FORMATS["json" if as_json else form.value](checked, single) + "\n")
    raise typer.Exit(0 if all(each.ok for each in checked) else 2)


def _checked(manifest: Path, paths: list[Path], config: Path | None, run_hooks: bool) -> "tuple[list[Checked], bool]":
    import contextlib
    import tempfile

    from aetherflow.core.base.errors import SpecError
    from aetherflow.core.base.problems import Problems
    from aetherflow.core.bundle.using import using_bundle
    from aetherflow.core.checks.checked import Checked
    from aetherflow.core.checks.documents import check_paths
    from aetherflow.core.checks.kinds import BundleEnvironment
    from aetherflow.core.cli.flow_source import SyncProgress

    progress = SyncProgress()
    config = config.absolute() if config is not None else None
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aetherflow-check-")))
        try:
            try:
                used = stack.enter_context(
                    using_bundle(
                        manifest, stores=root, config=config, run_hooks=run_hooks, require=False, progress=progress
                    )
                )
            finally:
                progress.done()
        except SpecError as error:  # the manifest is invalid
            problems = Problems()
            problems.extend(error.problems)
            return [Checked(str(manifest), None, None, problems, kind="manifest")], paths == [Path()]
        environment = BundleEnvironment(used.snapshot, config, run_hooks=run_hooks)
        stack.enter_context(contextlib.chdir(environment.folder))  # so that all paths are those in the bundle
        checked, folders = check_paths(paths, environment)
        return [_in_bundle(each, environment.folder) for each in checked], folders


def _in_bundle(checked: "Checked", folder: Path) -> "Checked":
    """The result with paths in the bundle, in place of those in the temporary folder."""
    from aetherflow.core.base.problems import Problems

    def relative(text: str) -> str:
        return text.replace(f"{folder}/", "").replace(str(folder), ".")

    problems = Problems()
    for each in checked.problems:
        location = each.location._replace(file=relative(each.location.file))
        fix = "check the path in the bundle" if each.af == "AF1001" else relative(each.fix)
        problems.add(replace(each, message=relative(each.message), location=location, fix=fix))
    return checked._replace(problems=problems)
