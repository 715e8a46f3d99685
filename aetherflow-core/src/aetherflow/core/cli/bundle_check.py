"""`aetherflow bundle check`: the documents of a bundle, checked as its source has them now."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aetherflow.core.cli.arguments import ConfigOption, RunHooksOption
from aetherflow.core.cli.bundle_context import ManifestOption
from aetherflow.core.cli.validate import Format

if TYPE_CHECKING:
    from aetherflow.core.checks.checked import Checked


def check(
    bundle_manifest: ManifestOption,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH", readable=False, help="Documents in the bundle; default: all.", show_default=False
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
    from aetherflow.core.cli.reports import FORMATS

    checked = _checked(bundle_manifest, paths, config, run_hooks)
    single = len(checked) == 1 and paths is not None and len(paths) == 1
    typer.echo(FORMATS["json" if as_json else form.value](checked, single))
    raise typer.Exit(0 if all(each.ok for each in checked) else 2)


def _checked(manifest: Path, paths: list[Path] | None, config: Path | None, run_hooks: bool) -> "list[Checked]":
    import contextlib
    import tempfile

    from aetherflow.core.base.errors import SpecError
    from aetherflow.core.base.problems import Problems
    from aetherflow.core.bundle.using import using_bundle
    from aetherflow.core.checks.checked import Checked
    from aetherflow.core.checks.kinds import BundleEnvironment, check_document, documents_in
    from aetherflow.core.cli.flow_source import SyncProgress

    progress = SyncProgress()
    config = config.absolute() if config is not None else None
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aetherflow-check-")))
        try:
            try:
                used = stack.enter_context(
                    using_bundle(
                        manifest, work_root=root, config=config, run_hooks=run_hooks, require=False, progress=progress
                    )
                )
            finally:
                progress.done()
        except SpecError as error:  # the manifest is invalid
            problems = Problems()
            problems.extend(error.problems)
            return [Checked(str(manifest), None, None, problems, kind="manifest")]
        environment = BundleEnvironment(used.snapshot, config, run_hooks=run_hooks)
        stack.enter_context(contextlib.chdir(environment.folder))  # so that all paths are those in the bundle
        return [check_document(path, environment) for path in paths or documents_in(Path(), environment)]
