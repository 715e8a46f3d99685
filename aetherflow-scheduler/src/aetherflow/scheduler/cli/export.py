"""`aetherflow-scheduler export`: files for cron, systemd or Kubernetes that start the slots of a schedule."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from aetherflow.core.embedding import LazyGroup, print_json
from aetherflow.scheduler.cli.arguments import JsonOption, ScheduleArgument
from aetherflow.scheduler.cli.loading import load

if TYPE_CHECKING:
    from aetherflow.scheduler.export.target import Exported
    from aetherflow.scheduler.schedule.schedule import Schedule

ItemOption = Annotated[
    list[str] | None, typer.Option("--item", metavar="ID", help="Only this item; may be given several times.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", readable=False, help="File to write; omitted: stdout."),
]
ProgramOption = Annotated[
    str | None,
    typer.Option("--program", metavar="PATH", help="The program to start; omitted: this one, by its full path."),
]
PrefixOption = Annotated[
    str | None,
    typer.Option("--prefix", metavar="NAME", help="Names begin with it; omitted: aetherflow- and the file's name."),
]


class _Exports(LazyGroup):
    lazy: ClassVar = {name: f"aetherflow.scheduler.cli.export:{name}" for name in ("crontab", "systemd", "kubernetes")}


app = typer.Typer(
    cls=_Exports,
    help="Let cron, systemd or Kubernetes start the items; the ledger still accounts for their slots.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def crontab(
    file: ScheduleArgument,
    item: ItemOption = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Write the form of /etc/cron.d, run as this account.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Zone that cron runs in; omitted: this machine's.")
    ] = None,
    mailto: Annotated[
        str | None, typer.Option("--mailto", metavar="ADDRESS", help="Where cron mails what is printed.")
    ] = None,
    program: ProgramOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a crontab: a line per item that starts `run-item`, so that the ledger accounts for the slot.

    Without --user it is the crontab of an account, to be installed by `crontab FILE`, which replaces the one that is
    there. With --user it is a file for /etc/cron.d.

    Cron runs in one zone. Items of other zones are started by a `tick` every minute. The differences from
    `aetherflow-scheduler run` are listed at the top of the file and on stderr.

    Example: aetherflow-scheduler export crontab scheduler.yaml --user etl --out /etc/cron.d/etl
    """
    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.export import crontab as target
    from aetherflow.scheduler.export.target import Command, chosen_items, disabled_note, places_here, program_here
    from aetherflow.scheduler.export.target_zone import is_zone, machine_zone

    if zone is not None and not is_zone(zone):
        raise UsageError(f"--zone {zone!r} is not known", fix="write an IANA name: --zone Europe/Berlin")
    schedule = load(file)
    wanted = item or []
    notes = [*disabled_note(schedule.items, wanted), *(target.check_file_name(out, user) if out else ())]
    command = Command(program_here(program), str(schedule.path), "cron", places_here(os.environ), quiet=True)
    items = chosen_items(schedule, wanted)
    exported = target.crontab(items, command, zone=zone or machine_zone(), user=user, mail_to=mailto, notes=notes)
    _give(exported, schedule, out, as_json)


def systemd(
    file: ScheduleArgument,
    item: ItemOption = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Account that the services run as.")
    ] = None,
    scope: Annotated[
        str, typer.Option("--scope", metavar="SCOPE", help="Units of the system, or of a user (systemctl --user).")
    ] = "system",
    prefix: PrefixOption = None,
    program: ProgramOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", readable=False, help="Folder for the units; omitted: stdout."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a service and a timer for each item; the service starts `run-item`, and the ledger accounts for the slot.

    Timers fire in the zone of their item. Where systemd treats changes of the clock differently from cron, the timer
    has further lines. The differences from `aetherflow-scheduler run` are listed at the top of each service and
    on stderr.

    Example: aetherflow-scheduler export systemd scheduler.yaml --user etl --out /etc/systemd/system
    """
    import datetime as dt

    from aetherflow.core.api import UsageError
    from aetherflow.scheduler.export import systemd as target
    from aetherflow.scheduler.export.target import Command, chosen_items, disabled_note, places_here, program_here

    if scope not in ("system", "user"):
        raise UsageError(f"--scope {scope!r} is not known", fix="write system or user")
    schedule = load(file)
    wanted = item or []
    exported = target.systemd(
        chosen_items(schedule, wanted),
        Command(program_here(program), str(schedule.path), "systemd", places_here(os.environ)),
        prefix=_prefix(prefix, schedule),
        user=user,
        scope="user" if scope == "user" else "system",
        now=dt.datetime.now(dt.UTC),
        notes=disabled_note(schedule.items, wanted),
    )
    _give(exported, schedule, out, as_json, folder=True, whole=not wanted)


def kubernetes(
    file: ScheduleArgument,
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="Image of the pods; it has aetherflow-scheduler.")
    ],
    item: ItemOption = None,
    path_in_image: Annotated[
        str | None,
        typer.Option("--path-in-image", metavar="PATH", help="Where the document is there; omitted: below /flows."),
    ] = None,
    claim: Annotated[
        str | None,
        typer.Option(
            "--claim", metavar="NAME:/PATH", help="PersistentVolumeClaim for ledger and state, and its mount."
        ),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Do without a claim: ledger and state end with each pod.")
    ] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", metavar="NAME", help="Namespace of it all.")] = None,
    prefix: PrefixOption = None,
    program: Annotated[
        str, typer.Option("--program", metavar="PATH", help="The program to start, in the image.")
    ] = "aetherflow-scheduler",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a CronJob for each item; its pod starts `run-item`, so that the ledger accounts for the slot.

    The document and its flows are expected in the image. The ledger and the state files need a volume that outlives
    the pods: --claim. The differences from `aetherflow-scheduler run` are listed at the top of the file and on stderr.

    Example: aetherflow-scheduler export kubernetes scheduler.yaml --image registry.example.com/flows:1.4 --claim
    etl-state:/state --out cronjobs.yaml
    """
    import datetime as dt

    from aetherflow.scheduler.export import kubernetes as target
    from aetherflow.scheduler.export.target import Command, chosen_items, disabled_note

    schedule = load(file)
    wanted = item or []
    there = path_in_image or f"/flows/{schedule.path.name}"
    cluster = target.cluster_of(image, claim, namespace, ephemeral=ephemeral)
    target.check_places(there, schedule.spec.state, cluster)
    exported = target.kubernetes(
        chosen_items(schedule, wanted),
        Command((program,), there, "kubernetes"),
        cluster,
        document=str(schedule.path),
        prefix=_prefix(prefix, schedule),
        now=dt.datetime.now(dt.UTC),
        notes=disabled_note(schedule.items, wanted),
    )
    _give(exported, schedule, out, as_json)


def _prefix(given: str | None, schedule: "Schedule") -> str:
    return given if given is not None else f"aetherflow-{schedule.path.stem}"


def _give(
    exported: "Exported",
    schedule: "Schedule",
    out: Path | None,
    as_json: bool,
    *,
    folder: bool = False,
    whole: bool = True,
) -> None:
    """Write the exported files, or print them without `out`; also print the notes on stderr."""
    from aetherflow.scheduler.cli.app import SCHEMA
    from aetherflow.scheduler.export.writing import write_file, write_folder

    written: list[Path] = []
    left: list[Path] = []
    if out is not None and folder:
        written, left = write_folder(exported, out, str(schedule.path))
        left = left if whole else []
    elif out is not None:
        written = write_file(exported, out, str(schedule.path))
    if as_json:
        document = {"schema": SCHEMA, "document": str(schedule.path), "files": exported.files}
        document |= {"notes": exported.notes, "written": list(map(str, written)), "left_over": list(map(str, left))}
        print_json(document)
    elif written:
        for path in written:
            typer.echo(path)
    elif folder:
        typer.echo("\n".join(f"# ---- {name}\n{text}" for name, text in exported.files.items()), nl=False)
    else:
        typer.echo("".join(exported.files.values()), nl=False)
    for note in exported.notes:
        typer.echo(f"note: {note}", err=True)
    for path in left:
        typer.echo(f"note: {path} was exported before, its item is gone; stop its unit and remove it", err=True)
