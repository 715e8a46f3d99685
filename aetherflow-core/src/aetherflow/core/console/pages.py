"""Pages: the document of a command as a file for people, made by a hook of the group `aetherflow.hooks.status`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aetherflow.core.base.errors import HookFailedError, UsageError
from aetherflow.core.host.hook_objects import hook_of, report_to
from aetherflow.core.host.metadata import installed_hooks, installed_in
from aetherflow.core.host.names import STATUS

if TYPE_CHECKING:
    from aetherflow.core.host.hooks import Hooks

RENDER = "aetherflow_render_page"
PAGES = "pages"


def may_answer(hook: str) -> bool:
    """Whether an installed distribution may implement a hook; nothing is imported."""
    return any(hook_of(entry) in (None, hook) for entry in (*installed_hooks(), *installed_in(STATUS)))


def loaded_hooks(config: Path | None) -> "list[Hooks]":
    """The hooks that commands about past runs ask. Raises what `build_snapshot` raises."""
    from aetherflow.core.runtime.environment.allowed import hooks_of_group
    from aetherflow.core.runtime.environment.snapshot import build_snapshot

    snapshot = build_snapshot(Path.cwd(), config=config, run_hooks=True)
    return [hooks for hooks in (snapshot.hooks, hooks_of_group(STATUS, snapshot.rules)) if hooks is not None]


def require_pages(name: str, html: Path, *, json: bool = False) -> None:
    """Refuse `--html FILE` before anything is read, if it cannot be written. Raises UsageError."""
    if json:
        raise UsageError("--json and --html exclude each other", fix="give one of them")
    if html.is_dir():
        raise UsageError(f"{html} is a folder", fix="name a file: --html page.html")
    if not may_answer(RENDER):
        raise _nobody(name)


def made_here() -> dict[str, Any]:
    """The keys of every page: when it was made, in which folder and zone, and by which version."""
    import time

    from aetherflow.core.host.distributions import version_of

    return {
        "made_at": time.time_ns() // 1_000_000,
        "zone": time.strftime("%Z"),
        "offset_s": time.localtime().tm_gmtoff,
        "folder": str(Path.cwd()),
        "version": version_of("aetherflow-core"),
    }


def rendered(name: str, document: Mapping[str, Any], config: Path | None) -> bytes:
    """The file of the first hook that renders documents of this name.

    Raises UsageError with the pip command if none does, HookFailedError, and what `build_snapshot` raises.
    """
    for hooks in loaded_hooks(config) if may_answer(RENDER) else []:
        for hook, data in hooks.decide(RENDER, name=name, document=document):
            if isinstance(data, bytes):
                return data
            message = f"hook {hook}: render_page returned {type(data).__name__}; it must return bytes"
            raise HookFailedError(message, fix=report_to(hook))
    raise _nobody(name)


def write_page(file: Path, name: str, document: Mapping[str, Any], config: Path | None) -> str:
    """Write a page whole or not at all; a file that is there stays until then. Returns the line that says so.

    Raises what `rendered` raises, and UsageError if the file cannot be written.
    """
    return write_file(file, rendered(name, document, config))


def write_file(file: Path, data: bytes) -> str:
    """Write a file whole or not at all. Returns the line that says so. Raises UsageError if it cannot be written."""
    from aetherflow.core.base import durable

    try:
        durable.make_dir(file.absolute().parent, mode=durable.SOURCE_FOLDER_MODE)
        durable.write_bytes(file.absolute(), data, mode=durable.SOURCE_FILE_MODE)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error}", fix="name another file") from error
    return f"wrote {file}, {len(data):,} bytes"


def _nobody(name: str) -> UsageError:
    from aetherflow.core.host.first_party import extra_for
    from aetherflow.core.host.installing import install_command

    what = "a picture" if name == "graph" else "a page"
    return UsageError(
        f"no installed distribution makes {what} of this", fix=install_command(str(extra_for(PAGES, name)))
    )
