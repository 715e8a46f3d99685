"""Every built-in step over every kind of connector that fits it: ours, a stranger's, and the documented minimum.

A cell is green, or `validate` refuses it and names what the class lacks. Ours are seen as the contracts publish them.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aetherflow.core.api import ConnectorInit, get_step, list_steps, register_connector
from aetherflow.core.checks.report import check_flow
from aetherflow.core.host import catalog
from aetherflow.core.runtime.environment.snapshot import build_snapshot
from aetherflow.core.testing import FlowProject
from aetherflow_builtins_db.connectors.duckdb.connector import DuckDBConnector
from aetherflow_builtins_db.connectors.sqlite3.connector import Sqlite3Connector
from aetherflow_builtins_rest.connectors.httpx import HttpxConnector
from aetherflow_builtins_transfer.connectors.archive.pyzipper import PyzipperConnector
from aetherflow_builtins_transfer.connectors.archive.zipfile import ZipfileConnector
from aetherflow_builtins_transfer.connectors.local import SftpLocal, SmbLocal
from aetherflow_builtins_transfer.connectors.mail.file import FileMailConnector
from db_project import only_published as only_published_databases
from db_strangers import Minimal as MinimalDb
from db_strangers import Reading, Tiny, published
from http_server import Authority, Running
from http_strangers import Minimal as MinimalHttp
from http_strangers import Silent, published_http
from http_strangers import Stranger as StrangeHttp
from packet_strangers import (
    MinimalMail,
    MinimalZip,
    PackingOnly,
    PlainMail,
    PublishedArchive,
    PublishedMail,
    only_published_archive,
    only_published_mail,
)
from transfer_strangers import Minimum, Primitives, Renaming, Store, View
from transfer_strangers import only_published as only_published_files

__all__ = ["only_published_archive", "only_published_databases", "only_published_files", "only_published_mail"]

FITTING: dict[str, tuple[type, ...]] = {
    "remote": (SftpLocal, SmbLocal, Primitives, Store, Renaming, Minimum),
    "sftp": (SftpLocal, Primitives, Minimum),
    "smb": (SmbLocal, Primitives, Minimum),
    "db": (Sqlite3Connector, DuckDBConnector, Tiny, MinimalDb, Reading),
    "mail": (FileMailConnector, MinimalMail, PlainMail),
    "archive": (ZipfileConnector, PyzipperConnector, MinimalZip, PackingOnly),
    "rest": (HttpxConnector, StrangeHttp, MinimalHttp, Silent),
}
"""The connectors of each group of steps."""
GROUPS = {"zip": "archive", "unzip": "archive", "http": "rest", "webhook": "rest"}
"""Group of a step by the first part of its name, where the two differ."""
REFUSED: dict[tuple[str, type], str] = {
    ("remote_move", Minimum): "lacks rename()",
    ("sftp_move_files", Minimum): "lacks rename()",
    ("smb_move_files", Minimum): "lacks rename()",
    ("db_copy", Reading): "lacks execute()",
    ("db_execute", Reading): "lacks execute()",
    ("db_load", Reading): "lacks execute()",
    **{("db_list_tables", each): "whose tables are not listed" for each in (Tiny, MinimalDb, Reading)},
    ("unzip", PackingOnly): "lacks extract_zip()",
    **{(step, Silent): "lacks request()" for step in ("http_download", "http_paginate", "http_poll", "http_request",
                                                     "http_upload", "webhook_notify")},
}  # fmt: skip


def with_resource() -> list[str]:
    """The built-in steps that use a connector."""
    models = {name: get_step(name).Inputs for name in list_steps()}
    return [name for name, model in models.items() if model is not None and "resource" in model.model_fields]


def group_of(step: str) -> str:
    first = step.partition("_")[0]
    return GROUPS.get(first, first)


class Cell(NamedTuple):
    step: str
    connector: type

    def __str__(self) -> str:
        return f"{self.step}-{self.connector.__module__}.{self.connector.__name__}"

    @property
    def kind(self) -> str:
        """The kind of its resource: that of a connector of ours, for a stranger's the one that the step is bound to."""
        if (group := group_of(self.step)) != "remote":
            return group
        return "sftp" if self.connector is SftpLocal else "smb" if self.connector is SmbLocal else "stranger"


CELLS = [Cell(step, each) for step in with_resource() for each in FITTING[group_of(step)]]


class Bench:
    """A peer of each kind, and a project."""

    def __init__(self, folder: Path, http: Running, authority: Authority) -> None:
        self.peer = folder / "shares" / "peer"
        self.peer.mkdir(parents=True)
        self.project = FlowProject(folder / "project")
        self.given = self.project.work / "flow" / "given"
        self.given.mkdir(parents=True)
        self.config: dict[str, dict[str, Any]] = {
            "stranger": {"root": str(self.peer)},
            "sftp": {"root": str(self.peer)},
            "smb": {"root": str(self.peer)},
            "db": {"path": str(self.peer / "wh.db")},
            "mail": {"path": str(self.peer)},
            "archive": {},
            "rest": {"base_url": http.url, "ca_file": str(authority.file)},
        }

    def put(self, folder: Path, name: str, data: bytes = b"a,s\n3,c\n") -> str:
        """Make a file; its path."""
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def resource(self, cell: Cell) -> dict[str, Any]:
        """The resource of a cell."""
        config = self.config[cell.kind]
        if cell.connector is SmbLocal:
            config = {"root": str(self.peer.parent), "share": self.peer.name}
        if cell.connector in (MinimalMail, PlainMail):
            config = {"from_addr": "r@x.test"}
        return {"kind": cell.kind, "driver": cell.connector.__name__.lower(), "config": config}


def over_files(bench: Bench, cell: Cell) -> dict[str, Any]:
    bench.put(bench.peer, "in/a.csv")
    inputs: dict[str, dict[str, Any]] = {
        "list": {"remote_dir": "in"},
        "download": {"files": ["in/a.csv"], "dest_dir": "got"},
        "upload": {"items": [bench.put(bench.given, "b.csv")], "remote_dir": "out/new"},
        "move": {"files": ["in/a.csv"], "dest_dir": "done"},
        "delete": {"files": ["in/a.csv"]},
    }
    return inputs[cell.step.split("_")[1]]


def over_a_database(bench: Bench, cell: Cell) -> dict[str, Any]:
    path = bench.config["db"]["path"]
    library: Any = __import__("duckdb" if cell.connector is DuckDBConnector else "sqlite3")
    database = library.connect(path)
    database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, s TEXT)")
    database.execute("INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    database.execute("CREATE TABLE u (a INTEGER PRIMARY KEY, s TEXT)")
    database.commit()
    database.close()
    query = {"sql": "SELECT a, s FROM t WHERE a > :n ORDER BY a", "params": {"n": 0}}
    inputs: dict[str, dict[str, Any]] = {
        "db_check": {"table": "t", "checks": [{"row_count": 2}, {"unique": "a"}]},
        "db_copy": query | {"target": "peer", "table": "u"},
        "db_execute": {"sql": "UPDATE t SET s = :s", "params": {"s": "y"}},
        "db_extract": query | {"output": "t.csv"},
        "db_extract_stream": query | {"output": "t.jsonl"},
        "db_fetch_small": query,
        "db_list_tables": {"pattern": "t"},
        "db_load": {"table": "t", "path": bench.put(bench.given, "t.csv")},
        "db_reconcile": {"from_table": "t", "target": "peer", "table": "t", "keys": ["a"]},
    }
    return inputs[cell.step]


def over_mail(_bench: Bench, _cell: Cell) -> dict[str, Any]:
    return {"from_addr": "r@x.test", "to": ["a@x.test"], "subject": "done", "body": "all is well"}


def over_an_archive(bench: Bench, cell: Cell) -> dict[str, Any]:
    source = bench.put(bench.given, "a.csv")
    if cell.step == "zip":
        return {"items": [source], "src_dir": str(bench.given), "dest_path": "made.zip"}
    with zipfile.ZipFile(bench.given / "made.zip", "w") as archive:
        archive.write(source, "a.csv")
    return {"archives": str(bench.given / "made.zip"), "dest_dir": "out"}


def over_http(bench: Bench, cell: Cell) -> dict[str, Any]:
    inputs: dict[str, dict[str, Any]] = {
        "http_request": {"path": "/echo", "method": "PUT", "json": {"a": 1}},
        "http_download": {"path": "/file/3000", "output": "f.bin"},
        "http_upload": {"path": "/echo", "file": bench.put(bench.given, "f.bin"), "method": "PUT"},
        "http_paginate": {"path": "/list/link", "pages": {"type": "link_header"}, "output": "items.jsonl"},
        "http_poll": {"path": "/job/0", "until": "state == 'done'", "deadline_seconds": 30},
        "webhook_notify": {"path": "/hook", "format": "slack", "text": "done"},
    }
    return inputs[cell.step]


INPUTS: dict[str, Callable[[Bench, Cell], dict[str, Any]]] = {
    "remote": over_files, "sftp": over_files, "smb": over_files, "db": over_a_database, "mail": over_mail,
    "archive": over_an_archive, "rest": over_http,
}  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path, http_api: Running, http_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(catalog, "_registered", {group: dict(known) for group, known in catalog._registered.items()})
    for cell in CELLS:
        register_connector(cell.kind, cell.connector.__name__.lower())(cell.connector)
    return Bench(tmp_path, http_api, http_authority)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_step_works_or_validate_says_what_is_missing(bench: Bench, cell: Cell) -> None:
    inputs = {"resource": "peer"} | INPUTS[group_of(cell.step)](bench, cell)
    step = {"id": "s", "type": cell.step, "inputs": inputs}
    path = bench.project.flow(step, resources={"peer": bench.resource(cell)})
    errors = [each for each in check_flow(path, build_snapshot(path.parent)).problems if each.severity == "error"]
    if (lacks := REFUSED.get(cell)) is not None:
        assert [each.af for each in errors] == ["AF2106"]
        assert lacks in errors[0].message
        assert f"class {cell.connector.__name__} (" in errors[0].message
        return
    assert errors == []
    ran = bench.project.run()
    assert ran.status == "SUCCESS", ran.error


def test_every_step_with_a_resource_is_there() -> None:
    assert {group_of(step) for step in with_resource()} == set(FITTING)
    assert len(with_resource()) >= 30
    assert set(REFUSED) <= set(CELLS)


def test_what_a_contract_does_not_publish_cannot_be_used(tmp_path: Path) -> None:
    def ours(cls: Any, **config: Any) -> Any:
        return cls(ConnectorInit("peer", "any", "ours", config, {}))

    view_of_files: Any = View
    views: list[tuple[Any, str]] = [
        (view_of_files(ours(SftpLocal, root=str(tmp_path))), "upload"),
        (published(ours(Sqlite3Connector, path=str(tmp_path / "x.db"))), "read"),
        (PublishedMail(ours(FileMailConnector, path=str(tmp_path))), "local_places"),
        (PublishedArchive(ours(ZipfileConnector)), "refuse"),
        (published_http(ours(HttpxConnector, base_url="http://127.0.0.1:1")), "client"),
    ]
    for view, name in views:
        for each in (name, "conf", "opts"):
            with pytest.raises(AttributeError):
                getattr(view, each)
