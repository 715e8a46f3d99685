"""Whether code is stored beside the flow: it may have come with the flow, so only `run` executes it unasked."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path


def is_beside(path: Path, flow_folder: Path) -> bool:
    """True for a file inside the flow's folder that was not installed there into this Python's environment."""
    found = path.resolve()
    return found.is_relative_to(flow_folder.resolve()) and not found.is_relative_to(Path(sys.prefix).resolve())


def is_module_beside(name: str, flow_folder: Path) -> bool:
    """As `is_beside`, for the top-level package of a module name; nothing is imported, `sys.modules` is ignored."""
    return any(is_beside(place, flow_folder) for place in module_places(name))


def module_places(name: str) -> list[Path]:
    """File or folders of the top-level package of a module name; empty if it is not found, or built in."""
    spec = PathFinder.find_spec(name.partition(".")[0])
    if spec is None:
        return []
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return [Path(place) for place in places]


def may_hold_code_beside(path: Path, flow_folder: Path) -> bool:
    """As `is_beside`, for a plugin path; also True if the flow's folder is inside the path, which is searched."""
    return is_beside(path, flow_folder) or flow_folder.resolve().is_relative_to(path.resolve())
