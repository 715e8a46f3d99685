"""`aetherflow-scheduler import`: a scheduler document of crontabs or units of systemd."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aetherflow.core.embedding import LazyGroup, print_json
from aetherflow.scheduler.cli.arguments import JsonOption

if TYPE_CHECKING:
    from aetherflow.scheduler.importing.drafts import Imported, Line

OutputOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", readable=False, help="New file for the document; omitted: stdout."),
]
ZoneOption = Annotated[
    str | None,
    typer.Option("--zone", metavar="ZONE", help="Zone of the machine that has run them; omitted: of this one."),
]
AccountOption = Annotated[
    str | None,
    typer.Option("--user", metavar="NAME", help="Account that the scheduler runs as; omitted: theirs, or root."),
]


class _Imports(LazyGroup):
    lazy: ClassVar = {name: f"aetherflow.scheduler.cli.import_items:{name}" for name in ("crontab", "systemd")}


app = typer.Typer(
    cls=_Imports,
    help="Make a scheduler document of what cron or systemd starts today. It starts nothing until you say so.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def crontab(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", readable=False, help="Crontabs; - is stdin.", show_default=False)
    ],
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--no-system",
            help="Lines name an account; omitted: in /etc/crontab and folders called cron.d.",
            show_default=False,
        ),
    ] = None,
    user: AccountOption = None,
    zone: ZoneOption = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an item of each line that starts a command, and report about every line.

    Items do what cron did: the same shell, folder, PATH and variables, at the same times. `flock` becomes `lock`,
    `timeout` becomes `timeout_seconds`, and output that went to a log goes to the logs of the runs. What differs, and
    what could not be carried over, is listed with its line. The report goes to stderr, with --out to stdout.

    The document starts nothing: its items have `launcher: observe` until that line is taken away.

    Ends with 1 if a line was left.

    Example: crontab -l | aetherflow-scheduler import crontab - --out scheduler.yaml
    """
    from aetherflow.scheduler.importing.crontab import CrontabImport, read_table
    from aetherflow.scheduler.importing.reading import read_file

    work = CrontabImport(_zone(zone), user)
    for file in files:
        work.add(read_table(file, read_file(file), system=system))
    _give(work.found, "crontabs", files, output, as_json)


def systemd(
    units: Annotated[
        list[Path],
        typer.Argument(
            metavar="UNIT",
            readable=False,
            help="Timers, or services of timers; what belongs to them is looked for beside them.",
            show_default=False,
        ),
    ],
    user: AccountOption = None,
    zone: ZoneOption = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an item of each timer and its service, and report about every line of both.

    What differs, and what could not be carried over, is listed with its line. The report goes to stderr, with --out to
    stdout. The document starts nothing: its items have `launcher: observe` until that line is taken away.

    Ends with 1 if a line was left.

    Example: aetherflow-scheduler import systemd /etc/systemd/system/backup.timer --out scheduler.yaml
    """
    from aetherflow.scheduler.importing.systemd import SystemdImport
    from aetherflow.scheduler.importing.unit_files import find_units

    work = SystemdImport(_zone(zone), user)
    work.add(find_units(units))
    _give(work.found, "units of systemd", units, output, as_json)


def _zone(given: str | None) -> str:
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.export.target_zone import machine_zone
    from aetherflow.scheduler.time.parsing import read_zone

    try:
        return machine_zone() if given is None else read_zone(given).key
    except ValueError as error:
        raise UsageError(f"--zone {error.args[0]}", fix=error.args[1]) from None


def _give(found: "Imported", kind: str, files: "Iterable[Path]", output: Path | None, as_json: bool) -> None:
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.importing.document import written
    from aetherflow.scheduler.importing.drafts import count
    from aetherflow.scheduler.importing.reading import write_document

    names = ", ".join("stdin" if str(file) == "-" else file.name for file in files)
    found.head.insert(0, f"Imported from {kind}: {names}.")
    text = written(found)
    if output is not None:
        write_document(text, output)
    counts = count(found.lines)
    if as_json:
        report: dict[str, Any] = {"schema": SCHEMA, "ok": not counts["left"], "timezone": found.zone}
        report |= {"items": [draft.id for draft in found.drafts], "counts": counts}
        report |= {"lines": [line.as_json() for line in found.lines]}
        report |= {"document": text, "written": None if output is None else str(output)}
        print_json(report)
    else:
        if output is None:
            typer.echo(text, nl=False)
        typer.echo(_report(found.lines, counts, len(found.drafts)), err=output is None)
    if counts["left"]:
        raise typer.Exit(1)


def _report(lines: "list[Line]", counts: dict[str, int], items: int) -> str:
    shown: list[str] = []
    for line in lines:
        if line.became == "left":
            shown.append(f"{line.at}: LEFT {_short(line.text)}")
        elif line.became == "item" or line.reasons:
            shown.append(f"{line.at}: {', '.join(line.items) or _short(line.text)}")
        shown += [f"  {reason}" for reason in line.reasons]
    became = f"{items}" if items == counts["item"] else f"{items} of {counts['item']} lines"
    names = (("setting", "settings"), ("comment", "comments"), ("blank", "blank"), ("left", "left"))
    others = ", ".join(f"{name}: {counts[kind]}" for kind, name in names)
    shown.append(f"lines: {len(lines)}; items: {became}, {others}")
    return "\n".join(shown)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else f"{plain[:59]}…"
