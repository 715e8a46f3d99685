"""Whether code stands beside the flow: such code may have come with it, and only `run` may run it unasked."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path


def is_beside(path: Path, flow_folder: Path) -> bool:
    """True for a file inside the flow's folder that was not installed there into this Python's environment."""
    found = path.resolve()
    return found.is_relative_to(flow_folder.resolve()) and not found.is_relative_to(Path(sys.prefix).resolve())


def is_module_beside(name: str, flow_folder: Path) -> bool:
    """The same of a module by its name; nothing is imported, and what was imported before is no matter."""
    spec = PathFinder.find_spec(name.partition(".")[0])
    if spec is None:
        return False
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return any(is_beside(Path(place), flow_folder) for place in places)


def may_hold_code_beside(path: Path, flow_folder: Path) -> bool:
    """The same of a plugin path, which is searched: true too if the flow's folder is inside of it."""
    return is_beside(path, flow_folder) or flow_folder.resolve().is_relative_to(path.resolve())
