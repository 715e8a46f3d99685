"""AETHERFLOW_OUTPUT_FILE: a JSON object that a child writes, whose keys become outputs of its step."""

import json
import stat
from collections.abc import Iterable
from typing import Any

from aetherflow.core.api import RunContext
from aetherflow.core.builtins.process_child import InvalidOutputError

VARIABLE = "AETHERFLOW_OUTPUT_FILE"
MAX_BYTES = 16 * 2**20
"""Largest accepted size of the file."""


class OutputFile:
    """The output file of one step: removed before each try, read and removed after it."""

    def __init__(self, ctx: RunContext, step_id: str, taken: Iterable[str]) -> None:
        self._ctx = ctx
        self._taken = set(taken)
        self.path = ctx.scratch_dir(ctx.job_id) / f"{step_id}.{ctx.idempotency_key[:8]}.outputs.json"

    def fresh(self) -> dict[str, str]:
        """Before each try: remove the file; returns the variable with its path."""
        self._ctx.remove_scratch(self.path)
        return {VARIABLE: str(self.path)}

    def read(self) -> dict[str, Any]:
        """The outputs that the child wrote; empty if it wrote none. Raises InvalidOutputError for an invalid file."""
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return {}
        if not stat.S_ISREG(facts.st_mode):
            raise self._error("it is no file", "write a file to that path")
        if facts.st_size > MAX_BYTES:
            message = f"{facts.st_size:,} bytes, more than {MAX_BYTES:,}"
            raise self._error(message, "write the data to a file of its own, and its path to the outputs")
        found = self._parse(self.path.read_bytes())
        self._ctx.remove_scratch(self.path)
        if clash := sorted(self._taken & found.keys()):
            message = f"{', '.join(map(repr, clash))} {'is an output' if len(clash) == 1 else 'are outputs'} already"
            raise self._error(message, "choose other keys")
        return found

    def _parse(self, data: bytes) -> dict[str, Any]:
        fix = 'write one JSON object, such as {"rows": 3}'
        try:
            found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_no_repeats, parse_constant=_no_constant)
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8 at byte {error.start}", fix) from error
        except json.JSONDecodeError as error:
            what = "empty" if not data.strip() else f"line {error.lineno}, column {error.colno}: {error.msg}"
            raise self._error(f"not JSON: {what}", fix) from error
        except RecursionError as error:
            raise self._error("nested too deeply", fix) from error
        except ValueError as error:
            raise self._error(str(error), fix) from error
        if not isinstance(found, dict):
            raise self._error(f"a JSON {_kind(found)}, where an object is needed", fix)
        return found

    @staticmethod
    def _error(message: str, fix: str) -> InvalidOutputError:
        return InvalidOutputError(f"{VARIABLE}: {message}", fix=fix)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"not JSON: {word} is no number there")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = ((bool, "boolean"), (str, "string"), (list, "list"))  # a boolean is a number, too
    return next((name for kind, name in kinds if isinstance(value, kind)), "number")
