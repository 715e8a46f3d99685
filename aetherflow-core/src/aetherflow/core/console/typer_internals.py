"""The only use of private names of typer in the core.

Why: a command whose options are text and flags starts in half the time without pydantic, which typer imports to parse
them; and `aetherflow completion` prints a script, for which typer has no public function. Tried with typer 0.28.0 to
0.29.2; the distribution allows versions below 1. Without these names starts are slower, and completion is missing.
"""

from pathlib import Path
from typing import Any

from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.typed import by_release


def read_plainly(param: Any) -> None:
    """Make a parameter parse without pydantic if it is absent, text or an integer."""
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
    """Register the classes that answer completion requests of a shell."""
    try:
        from typer._completion_classes import completion_init
    except ImportError:
        return  # then there is no completion
    completion_init()


def completion_script(program: str, variable: str, shell: str) -> str:
    """The shell script for the completion of `program`, which it calls with the environment variable `variable`."""
    try:
        from typer._completion_shared import get_completion_script
    except ImportError:
        message = "the installed version of typer makes no scripts for completion"
        raise UsageError(message, fix=by_release("--force-reinstall")) from None
    return get_completion_script(prog_name=program, complete_var=variable, shell=shell)  # nosec B604 # a shell's name
