"""All that the core uses of typer beside its public names; no other module may.

Why: a command whose options are text and flags starts in half the time without pydantic, which typer imports to read
them; and `aetherflow completion` prints a script, for which typer has no public function. Tried with typer 0.28.0 to
0.29.2; the distribution allows versions below 1. Where a name is gone, starts are slower, and there is no completion.
"""

from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import UsageError


def read_plainly(param: Any) -> None:
    """Let a parameter that was not given, or is text, a whole number or a path, be read without pydantic."""
    descriptor = getattr(param, "type_descriptor", None)
    thorough = getattr(param, "process_value", None)
    if descriptor is None or thorough is None:
        return
    annotation = descriptor.annotation
    single = not (param.multiple or param.nargs != 1)
    path = annotation is Path and _is_unchecked(descriptor.parameter_info)

    def process_value(ctx: Any, value: Any) -> Any:
        if param.callback is None:
            if value is None and not param.required:
                return () if param.multiple or param.nargs == -1 else None
            if single and type(value) is annotation and annotation in (str, int):
                return value
            if single and path and type(value) is str:
                return Path(value)
        return thorough(ctx, value)

    param.__dict__["process_value"] = process_value


def _is_unchecked(info: Any) -> bool:
    """Whether nothing is asked of the file at a path, and its name stays as it was typed."""
    asked = ("exists", "readable", "writable", "resolve_path", "path_type", "parser")
    return info.file_okay and info.dir_okay and not any(getattr(info, name) for name in asked)


def prepare_completion() -> None:
    """Import the classes that answer a shell which asks what may come next."""
    try:
        from typer._completion_classes import completion_init
    except ImportError:
        return  # the shell gets no answer
    completion_init()


def completion_script(program: str, variable: str, shell: str) -> str:
    """The script that makes a shell complete a program's command line, asking it by an environment variable."""
    try:
        from typer._completion_shared import get_completion_script
    except ImportError:
        message = "the installed version of typer makes no scripts for completion"
        raise UsageError(message, fix="pip install 'typer>=0.28,<0.30'") from None
    return get_completion_script(prog_name=program, complete_var=variable, shell=shell)
