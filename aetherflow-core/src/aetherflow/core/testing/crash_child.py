"""The process that runs flows to be killed: it imports everything once, and forks itself for each run.

Started by `crash_runs`, which sends the suite and then one run per line on stdin; it answers with the exit code of
each, or minus the signal that ended it.
"""

import importlib
import importlib.util
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce, wraps
from types import TracebackType
from typing import IO, Any

from pydantic import BaseModel

from aetherflow.core.api import ConnectorBase, get_connector, register_connector
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.kernel.sequencing.run_errors import RunFailedError, RunInterruptedError, RunUnknownError
from aetherflow.core.runner import run_flow
from aetherflow.core.testing.crash_runs import MARK
from aetherflow.core.testing.failpoints import arm


class _Block:
    """A context manager that a marked function gave: its end is the effect."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self._name = inner, name

    def __enter__(self) -> Any:
        return self._inner.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        hit(f"{MARK}before the end of {self._name}")
        ended = self._inner.__exit__(kind, error, trace)
        hit(f"{MARK}after the end of {self._name}")
        return ended


def _marked(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        hit(f"{MARK}before {name}")
        result = function(*given, **named)
        if hasattr(type(result), "__exit__") and hasattr(type(result), "__enter__"):
            return _Block(result, name)
        hit(f"{MARK}after {name}")
        return result

    return call


def mark(target: str) -> None:
    """Make a function, `module:name` or `module:Class.name`, pass a failpoint before and after each call."""
    module, _, path = target.partition(":")
    *above, name = path.split(".")
    owner: Any = reduce(getattr, above, importlib.import_module(module))
    found = next((vars(cls)[name] for cls in getattr(owner, "__mro__", ()) if name in vars(cls)), None)
    if isinstance(found, staticmethod | classmethod):
        setattr(owner, name, type(found)(_marked(found.__func__, path)))
    else:
        setattr(owner, name, _marked(getattr(owner, name), path))


def load(module: str, file: str) -> Any:
    """The module of the suite, which may be known by its file only."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[module] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[module])
    return sys.modules[module]


def prepare(told: dict[str, Any]) -> None:
    """Import the suite with what it registers, register its connector, set the marks."""
    sys.path[:] = told["path"]
    suite = reduce(getattr, told["suite"].split("."), load(told["module"], told["file"]))
    connector: type[ConnectorBase[Any, Any]] | None = getattr(suite, "connector", None)
    if connector is not None:
        kind, _, driver = suite.name.partition(".")
        try:
            known = get_connector(kind, driver)
        except KeyError:
            known = None
        if known is not connector:
            register_connector(kind, driver)(connector)
    for each in told["marks"]:
        mark(each)


def finish(run_id: str) -> int:
    """Run flow.yaml to its end; 0, or 1 if it is no SUCCESS."""
    try:
        run_flow("flow.yaml", run_id=run_id)
    except (RunFailedError, RunUnknownError, RunInterruptedError) as error:
        told = [error, *(job.error for job in error.summary.jobs if job.error)]
        sys.stderr.write("\n".join(map(str, told)) + "\n")
        return 1
    return 0


def import_early(names: Sequence[str]) -> None:
    """Import those of our modules, and build the models in them, which each run would otherwise do after its fork."""
    for name in names:
        if name.startswith("aetherflow"):
            with suppress(ImportError):
                importlib.import_module(name)
    waiting = BaseModel.__subclasses__() if names else []
    for model in waiting:
        waiting += model.__subclasses__()
        model.model_rebuild(raise_errors=False)


def run(told: dict[str, Any], imports: IO[str]) -> int:
    """Run the flow in a fork, with one failpoint set; its exit code, or minus its signal.

    If it ends by itself, the file `imports` has the names of the modules that it has imported.
    """
    known = set(sys.modules)
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        os.chdir(told["folder"])
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.environ.clear()
        os.environ.update(told["env"])
        arm(told["failpoint"])
        signal.alarm(told["seconds"])
        code = finish(told["run_id"])
        imports.write(" ".join(name for name in list(sys.modules) if name not in known))
        imports.flush()
    except BaseException:  # noqa: BLE001 this process ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Answer until stdin is closed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what imports print is no answer
    prepare(json.loads(sys.stdin.readline()))
    with tempfile.TemporaryFile("w+") as imports:
        while line := sys.stdin.readline():
            imports.seek(0)
            imports.truncate()
            answers.write(f"{run(json.loads(line), imports)}\n")
            answers.flush()
            imports.seek(0)
            import_early(imports.read().split())


if __name__ == "__main__":
    serve()
