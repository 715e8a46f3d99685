from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aetherflow.core.cli.arguments import ConfigOption, JsonOption
from aetherflow.core.console.commands import LazyGroup
from aetherflow.core.console.streams import print_json

if TYPE_CHECKING:
    from aetherflow.core.kernel.locks.records import Holder, Waiter

LOCKS_SCHEMA = 1


class _Locks(LazyGroup):
    lazy: ClassVar = {"list": "aetherflow.core.cli.locks:list_locks", "release": "aetherflow.core.cli.locks:release"}


app = typer.Typer(
    cls=_Locks,
    help="Locks that flows share: list them, take one from its holder.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


def list_locks(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List all locks with their holders and waiters.

    dead: the holder's process has ended or its lease has expired; the next request gets the lock.

    Example: aetherflow locks list
    """
    import dataclasses

    from aetherflow.core.base import durable
    from aetherflow.core.cli.lookup import lock_store_here
    from aetherflow.core.kernel.locks.store import LockStore

    path = lock_store_here(config)
    holders: list[Holder] = []
    waiters: list[Waiter] = []
    if durable.is_there(path):
        with LockStore(path) as store:
            holders, waiters = store.holders(), store.waiters()
    if as_json:
        document: dict[str, Any] = {"schema": LOCKS_SCHEMA, "lock_store": str(path)}
        document |= {"locks": [dataclasses.asdict(each) for each in holders]}
        document |= {"waiters": [dataclasses.asdict(each) for each in waiters]}
        print_json(document)
    else:
        typer.echo(_text(holders, waiters) if holders or waiters else f"no locks are held in {path}")


def release(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The lock.", show_default=False)],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; recorded in the lock store.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Also take it from a living holder.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a lock from its holder, as the last resort: the lock of an ended process is free by itself.

    A living holder continues until it notices, at its next renewal, that its lease is lost. Until then two holders may
    write, and only a resource that checks the fencing token is protected. Therefore it needs --yes.

    Example: aetherflow locks release flow/nightly --reason "host replaced" --yes
    """
    from aetherflow.core.base import durable
    from aetherflow.core.base.errors import UsageError
    from aetherflow.core.base.suggest import did_you_mean
    from aetherflow.core.base.typed import typed_here
    from aetherflow.core.cli.lookup import lock_store_here, root_to_write
    from aetherflow.core.kernel.locks.store import LockStore

    root_to_write(config)
    path = lock_store_here(config)
    if not durable.is_there(path):
        message = f"nobody holds {key!r}: there is no lock store {path}"
        raise UsageError(message, fix=typed_here("locks", "list"))
    with LockStore(path) as store:
        held = {holder.key: holder for holder in store.holders()}
        if key not in held:
            raise UsageError(f"nobody holds {key!r}", fix=did_you_mean(key, held, what="locks"))
        if held[key].alive and not yes:
            message = (
                f"{key!r} is {held[key]}, which is alive: it would go on working for a while although another one "
                "can take the lock"
            )
            raise UsageError(message, fix="stop that run; if that cannot be, repeat with --yes")
        holder = store.break_lock(key, reason=reason)
    if as_json:
        document = {"schema": LOCKS_SCHEMA, "key": key, "released": holder is not None, "reason": reason}
        print_json({**document, "holder": str(holder) if holder else None})
    else:
        typer.echo(f"released {key}, {str(holder).replace('held', 'which was held')}" if holder else f"{key} was free")


def _text(holders: list["Holder"], waiters: list["Waiter"]) -> str:
    from aetherflow.core.console.since import both
    from aetherflow.core.console.table import table

    rows = []
    for holder in holders:
        run = f"{holder.owner.flow_id}/{holder.owner.run_id}"
        state = "held" if holder.alive else "dead"
        rows.append([holder.key, state, run, f"pid {holder.pid} on {holder.host}", both(holder.acquired_at)])
    for waiter in waiters:
        run = f"{waiter.owner.flow_id}/{waiter.owner.run_id}"
        state = "waits" if waiter.alive else "dead waiter"
        rows.append([waiter.key, state, run, f"pid {waiter.pid} on {waiter.host}", both(waiter.since)])
    return table(["lock", "state", "run", "process", "since"], sorted(rows, key=lambda row: row[0]))
