"""A SQLite file in the part of a database server: what the kernel does with one, without one."""

from pathlib import Path

from aetherflow.core.base import durable


class FileAsServer:
    """A file for each store, below a folder of this host."""

    error: type[OSError] = OSError

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    def database(self, store: str, *, busy_seconds: float, reading: bool = False) -> durable.SqliteDatabase:
        """The file; a reader finds it as it is."""
        path = self.folder / f"{store}.sqlite"
        if reading and not path.exists():
            raise FileNotFoundError(f"there is no store {store}")
        if reading:
            return durable.connect_to_read(path, immutable=False)
        return durable.connect(path, busy_seconds=busy_seconds)

    def stores(self) -> list[str]:
        """Those whose files are there."""
        return sorted(path.stem for path in self.folder.glob("*.sqlite"))


def use_file(folder: Path, name: str = "//sqlite:here") -> Path:
    """Let this process keep the stores of this name in files; returns what stands for their path."""
    durable.servers[name] = FileAsServer(name, folder)
    return Path(name)
