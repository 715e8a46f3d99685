"""Helpers shared by the unit and the system tests of test_transfer_archive_drivers.py."""

from pathlib import Path
from typing import Any

from aetherflow.core.api import ConnectorInit, get_connector

PASSWORD = 'pa ss"w\\d'


def connector(driver: str, config: dict[str, Any] | None = None, options: dict[str, Any] | None = None) -> Any:
    init = ConnectorInit("packing", "archive", driver, config or {}, options or {})
    return get_connector("archive", driver)(init)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
