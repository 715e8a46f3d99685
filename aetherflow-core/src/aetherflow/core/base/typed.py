"""Command lines of ours as a message names them: with the project file that the command at hand was given."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CONFIG_VARIABLE = "AETHERFLOW_CONFIG"
_given: str | None = None
_absolute: str | None = None


def given_project(words: Sequence[str], env: Mapping[str, str]) -> None:
    """Note the project file of this process, that of `--config` on its command line, or else of its environment."""
    global _given, _absolute  # noqa: PLW0603 like the environment, it is one for all of a process
    _given = option_in(words[: words.index("--")] if "--" in words else words, "--config")
    chosen = _given or env.get(CONFIG_VARIABLE)
    _absolute = str(Path(chosen).expanduser().absolute()) if chosen else None


def option_in(words: Sequence[str], name: str) -> str | None:
    """The value of an option on a command line; of several, the last."""
    found = None
    for place, word in enumerate(words):
        if word == name:
            found = words[place + 1] if place + 1 < len(words) else None
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def typed_here(*words: str) -> str:
    """A command line as it is typed where this command was typed."""
    return command_line(*words, config=_given)


def typed_anywhere(*words: str) -> str:
    """The same for what is written down, and read from another folder."""
    return command_line(*words, config=_absolute)


def by_release(*arguments: str, release: str = "release") -> str:
    """A call of `install.py` for this installation, as it is typed in the folder of a release."""
    import shlex

    return f"{shlex.join(['python3', 'install.py', '--to', sys.prefix, *arguments])}  # in the folder of the {release}"


def command_line(*words: str, config: Path | str | None = None) -> str:
    """A command line with a project file."""
    import shlex  # most commands name none

    return shlex.join(["aetherflow", *words, *(["--config", str(config)] if config is not None else [])])
