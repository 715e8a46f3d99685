"""How a run was started, and what a person types to go on with it."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aetherflow.core.base import durable
from aetherflow.core.base.errors import AetherflowError, StateError
from aetherflow.core.base.redact import MASK
from aetherflow.core.base.typed import CONFIG_VARIABLE, command_line, option_in
from aetherflow.core.records.history import PastRun, bundle_of, list_runs
from aetherflow.core.records.questions import open_questions
from aetherflow.core.records.registry import find_runs, known_flows, places_of
from aetherflow.core.runtime.workspace.state_root import find_state_root

if TYPE_CHECKING:
    from aetherflow.core.runtime.context.changed_inputs import ChangedInput

STATE_ROOT = "AETHERFLOW_STATE_ROOT"
PlacesOfRuns = Mapping[str, set[tuple[str, Path]]]
"""Run ids to the flows, each with a state, that have runs of them."""


class Start(NamedTuple):
    """Where, and with which project file, the latest process of a run was started."""

    folder: Path | None
    """None if it is not known."""
    config: Path | None
    """Absolute; None if there was none, or if it is not known."""
    unplaced: str | None = None
    """A `--config` that was relative to a folder which is not known."""


def start_of(run: PastRun) -> Start:
    """The start of a run: as recorded; of a run of 1.0 as far as its command line tells. Raises StateError."""
    if run.working_dir is not None or run.config is not None:
        folder = Path(run.working_dir) if run.working_dir is not None else None
        return Start(folder, Path(run.config) if run.config is not None else None)
    try:
        words = shlex.split(run.command)
    except ValueError:  # a masked secret took a quote along
        return Start(None, None)
    if stands_in_no_file(run):
        words = words[: words.index("--")] if "--" in words else words
        folder = Path(run.flow_path).parent
    else:
        named = [run.flow_path, run.manifest or (bundle_of(run) or {}).get("manifest")]
        folder = _folder(words[1:], [Path(path) for path in named if path])
    given = option_in(words, "--config")
    if given is None:
        return Start(folder, None)
    if folder is None and not Path(given).is_absolute():
        return Start(None, None, given)
    return Start(folder, (folder or Path("/")) / given)


def _folder(words: list[str], named: list[Path]) -> Path | None:
    """The folder from which the relative path of a word leads to one of some files."""
    for word in words:
        parts = Path(word.rpartition("=")[2]).parts
        for path in named:
            if parts and path.parts[-len(parts) :] == parts and len(path.parts) > len(parts):
                return Path(*path.parts[: -len(parts)])
    return None


class Resumes:
    """Makes the commands that go on with runs, as they work where they are shown."""

    def __init__(self, root: Path, config: Path | None = None, here: Path | None = None) -> None:
        """`root` is the state root, `config` the project file that the command at hand was given, `here` its folder."""
        self._root, self.config = root, config
        self._here = here or _here()
        self._leading: dict[tuple[Path, Path | None], bool] = {}
        self._changed: dict[PastRun, ChangedInput | None] = {}
        self._places: PlacesOfRuns = {}

    def expect(self, runs: Iterable[PastRun]) -> None:
        """Ask once which flows and states have runs of these ids, for commands that are made right after that."""
        run_ids = [run.run_id for run in runs]
        self._places = places_of(self._root, run_ids) if len(run_ids) > 1 else {}

    def named(self, run: PastRun) -> list[str]:
        """The words that name a run to a command."""
        return named(self._root, run.flow_id, run.run_id, run.state_path, self._places)

    def commands(self, run: PastRun, asked: Sequence[str] | None = None) -> tuple[str, ...]:
        """One command line; of a step that asks two, the first if it was done, the second if it was not. Of a run whose
        input has changed since two, the first does again what has read it.

        Of several steps that ask, the first is decided; the run then asks about the next one. For a run that a step
        started they are those of the outer run, unless it asks itself. `asked` are the steps that ask, where they have
        been read already. Raises StateError.
        """
        if stands_in_no_file(run):
            return (self.command(run),)
        if asked is None:
            asked = open_questions(run)
        if asked:
            return tuple(self._resume(run, "--decide", f"{asked[0]}={answer}") for answer in ("done", "again"))
        outer = outer_run(self._root, run)
        if outer is not None:
            return self.commands(outer)
        changed = self.changed_input(run)
        again = (self._resume(run, "--from-step", changed.step),) if changed and not changed.repeats_once else ()
        return (*again, self._resume(run))

    def changed_input(self, run: PastRun) -> "ChangedInput | None":
        """What a finished step of the run has read, and what is another file now; read once."""
        if run not in self._changed:
            from aetherflow.core.runtime.context.changed_inputs import changed_input  # only failed runs are asked

            self._changed[run] = changed_input(run)
        return self._changed[run]

    def command(self, run: PastRun) -> str:
        """The same as one command line; where a step asks, the one that prints the question. Raises StateError."""
        if stands_in_no_file(run):
            return in_folder(start_of(run).folder, command_again(run), self._here)
        outer = outer_run(self._root, run)
        return self._resume(run) if outer is None else self.command(outer)

    def shown(self, run: PastRun) -> str:
        """What shows a run, and both commands if it asks whether a step was done."""
        return command_line("runs", "show", *self.named(run), config=self.config)

    def rest(self, run: PastRun) -> str:
        """What runs the jobs that a run of some of its jobs (`--flow-job`) has left out. Raises StateError."""
        start, bundle = start_of(run), bundle_of(run)
        words = ["--bundle-manifest", bundle["manifest"], "--flow-yaml", bundle["flow"]] if bundle else [run.flow_path]
        beside = start.folder if bundle else Path(run.flow_path).parent
        own = start.config if start.config is not None and os.access(start.config, os.R_OK) else self.config
        config = None if beside is not None and self._leads(beside) else own
        return in_folder(start.folder, command_line("run", *words, "--run-id", run.run_id, config=config), self._here)

    def _resume(self, run: PastRun, *options: str) -> str:
        folder, config = self._way(run)
        words = ["resume", *self.named(run), *options]
        return in_folder(folder, command_line(*words, config=config), self._here)

    def _way(self, run: PastRun) -> tuple[Path | None, Path | None]:
        """The folder and the `--config` that lead to a run: none where it is found from here.

        `resume` takes the project file and the folder of the run from its row.
        """
        start, given = start_of(run), self.config
        own = start.config if start.config is not None and os.access(start.config, os.R_OK) else None
        by_variable = own is not None and CONFIG_VARIABLE in os.environ  # which may have been set for one command only
        if self._leads(self._here) and not by_variable:
            return None, None
        if own is not None and self._leads(self._here, own):
            as_typed = given is not None and (self._here / given).is_file() and own.samefile(self._here / given)
            return None, given if as_typed else own
        if start.folder is not None and self._leads(start.folder):
            return start.folder, None
        return (None, given) if given is not None else (start.folder, None)

    def _leads(self, folder: Path, config: Path | None = None) -> bool:
        """Whether a command that is typed in a folder looks for runs under this state root."""
        key = folder, config
        if key not in self._leading:
            try:
                found = find_state_root(folder, _env_in(folder), config)
                self._leading[key] = found.resolve() == self._root.resolve()
            except (AetherflowError, OSError):
                self._leading[key] = False
        return self._leading[key]


def _env_in(folder: Path) -> dict[str, str]:
    """The environment with a state root that is relative to a folder made absolute."""
    given = os.environ.get(STATE_ROOT)
    return {**os.environ, STATE_ROOT: str(folder / Path(given).expanduser())} if given else dict(os.environ)


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return Path("/")


def named(
    root: Path, flow_id: str, run_id: str, state_path: str | None = None, known: PlacesOfRuns | None = None
) -> list[str]:
    """The words that name a run to a command; `known`: what has runs of their ids, as far as that was asked."""
    places = (known or {}).get(run_id) or places_of(root, [run_id])[run_id]
    words = [run_id, *(["--flow", flow_id] if {flow for flow, _ in places} - {flow_id} else [])]
    several = state_path is not None and len([flow for flow, _ in places if flow == flow_id]) > 1
    return [*words, "--state-path", str(state_path)] if several else words


def in_folder(folder: Path | None, command: str, here: Path | None = None) -> str:
    """A command line as it is typed here to have it executed there."""
    if folder is None or folder == (here or _here()):
        return command
    return f"cd {shlex.quote(str(folder))} && {command}"


def stands_in_no_file(run: PastRun) -> bool:
    """True for a run without a flow file: that of `aetherflow wrap`."""
    by_name = Path(run.flow_path) == wrapped_path(Path(run.flow_path).parent, run.flow_id)
    return run.trigger == "wrap" or by_name


def command_of(run: PastRun) -> str:
    """The command line of a run; of a command that was wrapped the command itself."""
    _, dashes, own = run.command.partition(" -- ") if stands_in_no_file(run) else ("", "", "")
    return own if dashes else run.command


def wrapped_path(folder: Path, flow_id: str) -> Path:
    """What stands for the flow file of a command that was wrapped in a folder; no such file exists."""
    return folder / f"wrap {flow_id}"


def command_again(run: PastRun) -> str:
    """The command line that a run was started with, as a person would type it."""
    return words_again(run.command)


def words_again(command: str) -> str:
    """The recorded words of a command line, as a person would type them; VALUE stands for what is hidden."""
    try:
        return shlex.join(["aetherflow", *(word.replace(MASK, "VALUE") for word in shlex.split(command)[1:])])
    except ValueError:  # a masked secret took a quote along
        return command


def outer_run(root: Path, run: PastRun) -> PastRun | None:
    """The run that a step of which started this one, if it has not ended well itself."""
    if run.trigger != "flow" or not run.parent:
        return None
    flow_id, _, run_id = run.parent.partition("/")
    found = runs_of(root, run_id, flow_id)
    return found[0] if len(found) == 1 and found[0].status in ("FAILED", "INTERRUPTED", "UNKNOWN") else None


def runs_of(root: Path, run_id: str, flow_id: str | None = None, state: Path | None = None) -> list[PastRun]:
    """All runs with an id, read from their state files; of one flow or state, if that is given."""
    places = {(run.flow_id, run.state_path) for run in find_runs(root, run_id)}
    found = _present(places, run_id, flow_id, state)
    if not found:  # it may be missing in the registry, if that was lost: search every state file
        places = {(flow.flow_id, flow.state_path) for flow in known_flows(root)}
        found = _present(places, run_id, flow_id, state)
    return found


def _present(places: Iterable[tuple[str, str]], run_id: str, flow_id: str | None, state: Path | None) -> list[PastRun]:
    found, file = [], state if state is None else durable.real_file(state.absolute())
    for flow, path in sorted(places):
        if flow_id in (None, flow) and file in (None, durable.real_file(Path(path))):
            try:
                found += list_runs(Path(path), flow_id=flow, run_id=run_id)
            except StateError:
                if durable.is_there(Path(path)):
                    raise
    return found
