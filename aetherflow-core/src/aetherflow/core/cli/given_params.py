"""Parameters that a command is given: `--param NAME=VALUE`, and by `--param -` those on stdin."""

import json
import sys

from aetherflow.core.contracts.written import plain, text_of
from aetherflow.core.kernel.resolver.params import ParamError

STDIN = "-"


def given_params(texts: list[str] | None) -> dict[str, str]:
    """Return parameters by name, as text. Raises ParamError and, for what stdin holds, SpecError.

    Those of stdin are in `sys.argv` afterwards: the recorded command works without that stdin.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        for name, value in _on_stdin() if text == STDIN else [_assignment(text)]:
            if name in found:
                raise ParamError(f"--param {name} is given twice", fix="give it once")
            found[name] = value
    return found


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ParamError(f"--param {text!r} is not name=value", fix="write --param name=value")
    return name.strip(), value


def _on_stdin() -> list[tuple[str, str]]:
    from aetherflow.core.runtime.environment.documents import load_stdin  # few commands read it

    document = load_stdin()
    if not isinstance(document.data, dict):
        raise ParamError("stdin:1:1: is not a mapping of parameters", fix="write `NAME: VALUE` for each, or JSON")
    pairs = []
    for name, value in document.data.items():
        at = (name,)
        if value is None:
            message = f"{document.source.value(at)}: parameter {name!r} has no value"
            raise ParamError(message, fix="give it a value, or leave it out")
        text = value if isinstance(value, str) else text_of(value, document.source.words.get(at))
        pairs.append((name, json.dumps(plain(value), ensure_ascii=False) if text is None else str(text)))
    _record(pairs)
    return pairs


def _record(pairs: list[tuple[str, str]]) -> None:
    """Put the parameters in the place of `--param -`, in what is recorded of this process's command."""
    for at, word in enumerate(sys.argv):
        if word == f"--param={STDIN}" or sys.argv[at : at + 2] == ["--param", STDIN]:
            words = [part for name, value in pairs for part in ("--param", f"{name}={value}")]
            sys.argv[at : at + (1 if "=" in word else 2)] = words
            return
