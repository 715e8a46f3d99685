from pathlib import Path
from typing import Annotated

import typer

from aetherflow.core.base.errors import UsageError
from aetherflow.core.cli.arguments import ConfigOption
from aetherflow.core.cli.plugins import found_plugins
from aetherflow.core.console.streams import print_text, reserve_stdout

DistributionArgument = Annotated[
    str, typer.Argument(metavar="DISTRIBUTION", help="An installed distribution with plugins.", show_default=False)
]
PagesOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FOLDER", help="Write FOLDER/DISTRIBUTION.md, in place of stdout."),
]


def docs(distribution: DistributionArgument, output: PagesOption = None, config: ConfigOption = None) -> None:
    """Write the page of a distribution in Markdown: what each of its plugins does, takes and gives.

    The plugins of the distribution are imported, their drivers are not. The text is that of docstrings and of the
    descriptions of fields, as in `plugins show`.

    Example: aetherflow plugins docs acme-steps --output docs
    """
    from aetherflow.core.base import durable
    from aetherflow.core.base.suggest import did_you_mean
    from aetherflow.core.console.plugin_pages import page_of
    from aetherflow.core.host.describe import described
    from aetherflow.core.host.distributions import key_of

    reserve_stdout(output is None)
    catalog, _ = found_plugins(config, run_hooks=False)
    own = [entry for entry in catalog.entries if key_of(entry.distribution) == key_of(distribution)]
    if not own:
        known = sorted({entry.distribution for entry in catalog.entries})
        fix = did_you_mean(distribution, known, what="distributions with plugins")
        raise UsageError(f"no distribution {distribution!r} with plugins is installed", fix=fix)
    name = own[0].distribution
    text = page_of(name, [described(entry, catalog) for entry in own])
    if output is None:
        print_text(text)
        return
    path = output / f"{name}.md"
    durable.make_dir(output)
    durable.write_bytes(path, text.encode(), mode=durable.SOURCE_FILE_MODE)
    typer.echo(f"{len(own)} plugins described in {path}")
