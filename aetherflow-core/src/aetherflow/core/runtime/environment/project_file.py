"""Finding the project file. Apart from reading it, because commands in a folder without one import only this."""

from pathlib import Path

PROJECT_FILE = "aetherflow.yaml"


def find_project(folder: Path) -> Path | None:
    """The nearest project file at or above a folder; the search ends at a border between file systems."""
    folder = folder.absolute()
    device = folder.stat().st_dev if folder.exists() else None
    for parent in (folder, *folder.parents):
        try:
            if parent.stat().st_dev != device:
                return None
            if (found := parent / PROJECT_FILE).is_file():
                return found
        except OSError:
            return None
    return None
