"""What a third-party connector or bundle source returns against its contract: the class with file and line is named."""

from typing import TYPE_CHECKING

import pytest
import wheels

if TYPE_CHECKING:
    from core_project import Project

CODE = """\
import httpx
from pydantic import Field
from aetherflow.core.api import (
    ArchiveConnector, BundleSource, ConnectorBase, ConnectorConfig, ConnectorOptions, FileConnector, HttpConnector,
    MailConnector, RemoteEntry,
)

FOUND = {
    "none": None, "rows": [(1,)], "text": "abc", "short": (["a", "b"], [(1,)]), "no rows": (["a"], None),
    "names": ["a.csv"], "maps": [{"nam": "a.csv"}], "map": {"a": 1}, "entries": [RemoteEntry("a.csv", "file", 1, None)],
    "response": httpx.Response(200, content=b"1"),
}

class Db(ConnectorBase):
    def fetchall(self, sql, params):
        return FOUND[self.config["found"]]

class Files(ConnectorBase):
    def list(self, folder):
        return FOUND[self.config["found"]]

    def download(self, remote, local):
        pass

class Rest(ConnectorBase):
    def request(self, method, url, **given):
        return FOUND[self.config["found"]]

class Config(ConnectorConfig):
    found: str = Field("none", description="What is returned.")

class FullFiles(FileConnector[Config, ConnectorOptions]):
    def entries(self, folder):
        return FOUND[self.conf.found]
    def stat(self, path, *, follow=True):
        return FOUND["none"]
    def read(self, path, sink, *, offset=0, limit=None): ...
    def write(self, path, source): ...
    def rename(self, old, new, *, overwrite=True): ...
    def remove(self, path): ...
    def make_folder(self, path): ...
    def remove_folder(self, path): ...

class Mail(MailConnector[Config, ConnectorOptions]):
    sender = "a@acme.example"
    def send(self, message, envelope):
        return FOUND[self.conf.found]

class FullRest(HttpConnector[Config, ConnectorOptions]):
    def request(self, method, url, **given):
        return FOUND[self.conf.found]

class Packs(ArchiveConnector[Config, ConnectorOptions]):
    def create(self, sink, sources, how, work): ...
    def extract(self, archive, into, rules, work):
        return FOUND[self.conf.found]

class Shelf(BundleSource):
    def list(self):
        return None
    def fetch(self, rel_path, target): ...

class Names(BundleSource):
    def list(self):
        return ["flow.yaml"]
    def fetch(self, rel_path, target): ...
"""
POINTS = """\
[aetherflow.connectors]
db.acme = acme_r:Db
acme_files.minimal = acme_r:Files
rest.acme = acme_r:Rest
acme_files.full = acme_r:FullFiles
mail.acme = acme_r:Mail
rest.acme_full = acme_r:FullRest
archive.acme = acme_r:Packs
[aetherflow.bundle_sources]
acme_shelf = acme_r:Shelf
acme_names = acme_r:Names
"""
COLUMNS = "the names of the columns, and the rows"
MAIL = "to: b@acme.example, subject: s, body: b"
DOWNLOAD = "files: [{path: a.csv, name: a.csv}], dest_dir: in"
RESULTS = [  # kind, driver, step, its inputs, returned; class, method, text
    ("db", "acme", "db_fetch_small", "sql: x", "none", "Db", "fetchall", f"returned None; it must return {COLUMNS}"),
    ("db", "acme", "db_fetch_small", "sql: x", "rows", "Db", "fetchall", f"returned list; it must return {COLUMNS}"),
    ("db", "acme", "db_fetch_small", "sql: x", "text", "Db", "fetchall", f"returned str; it must return {COLUMNS}"),
    (
        "db",
        "acme",
        "db_fetch_small",
        "sql: x",
        "no rows",
        "Db",
        "fetchall",
        f"tuple; it must return {COLUMNS}",
    ),
    (
        "db",
        "acme",
        "db_fetch_small",
        "sql: x",
        "short",
        "Db",
        "fetchall",
        "rows of 2 values, and one has 1",
    ),
    ("acme_files", "minimal", "remote_list", "remote_dir: in", "none", "Files", "list", "returned None; it must"),
    ("acme_files", "minimal", "remote_list", "remote_dir: in", "text", "Files", "list", "returned str; it must"),
    ("acme_files", "minimal", "remote_list", "remote_dir: in", "names", "Files", "list", "entries with `name`"),
    ("acme_files", "minimal", "remote_list", "remote_dir: in", "maps", "Files", "list", "entries with `name`"),
    ("acme_files", "full", "remote_list", "remote_dir: in", "none", "FullFiles", "entries", "a list of RemoteEntry"),
    ("acme_files", "full", "remote_list", "remote_dir: in", "names", "FullFiles", "entries", "a list of RemoteEntry"),
    ("acme_files", "full", "remote_download", DOWNLOAD, "entries", "FullFiles", "stat", "it must return a RemoteEntry"),
    ("rest", "acme", "http_request", "url: /", "none", "Rest", "request", "returned None; it must return a response"),
    ("rest", "acme_full", "http_request", "url: /", "map", "FullRest", "request", "returned dict; it must return a"),
]


@pytest.fixture
def acme(project: "Project") -> "Project":
    """A project with the package acme-r 1.0."""
    wheels.install(project.site, "acme-r", POINTS, {"acme_r.py": CODE})
    return project


def place_of(name: str) -> str:
    line = next(number for number, text in enumerate(CODE.splitlines(), 1) if text.startswith(f"class {name}("))
    return f"class {name} (site/acme_r.py:{line})"


def flow(project: "Project", kind: str, driver: str, step: str, inputs: str, found: str, more: str = "") -> None:
    project.flow(
        f"resources: {{r: {{kind: {kind}, driver: {driver}, config: {{found: {found}}}}}}}\n"
        f"jobs: [{{id: a, steps: [{{id: s, type: {step}, inputs: {{resource: r, {inputs}}}{more}}}]}}]\n"
    )


@pytest.mark.parametrize(("kind", "driver", "step", "inputs", "found", "cls", "method", "said"), RESULTS)
def test_a_result_of_another_type_names_the_class(
    acme: "Project", kind: str, driver: str, step: str, inputs: str, found: str, cls: str, method: str, said: str
) -> None:
    flow(acme, kind, driver, step, inputs, found)
    ended = acme.command("run", "flow.yaml")
    block = ended.err[ended.err.index("FAILED a.s at ") :]
    assert ended.code == 1
    (line,) = [line for line in block.splitlines() if line.startswith("  AF5201 resource r ")]
    assert f"{place_of(cls)}: {method}() returned " in line, block
    assert said in line
    assert f"  fix: correct {method}(), or report it to the authors of the plugin\n" in block


@pytest.mark.parametrize(
    ("kind", "driver", "step", "inputs", "cls", "method"),
    [
        ("mail", "acme", "mail_send", MAIL, "Mail", "send"),
        ("rest", "acme_full", "http_request", "method: POST, path: /", "FullRest", "request"),
    ],
)
def test_a_request_that_may_have_had_its_effect_asks(
    acme: "Project", kind: str, driver: str, step: str, inputs: str, cls: str, method: str
) -> None:
    flow(acme, kind, driver, step, inputs, "none")
    ended = acme.command("run", "flow.yaml")
    assert (ended.code, f"{place_of(cls)}: {method}() returned None; it must return a " in ended.err) == (1, True)
    assert "UNKNOWN a.s at " in ended.err
    assert "--decide a.s=done" in ended.err


def test_an_archive_connector_that_gives_no_members(acme: "Project") -> None:
    acme.flow(
        "resources: {r: {kind: archive, driver: acme}}\n"
        "jobs: [{id: a, steps: [\n"
        "  {id: w, type: file_write, inputs: {path: a.txt, content: x}},\n"
        "  {id: p, type: zip, inputs: {items: [a.txt], dest_path: a.zip}},\n"
        "  {id: s, type: unzip, inputs: {resource: r, archives: a.zip, dest_dir: out}}]}]\n"
    )
    ended = acme.command("run", "flow.yaml")
    said = f"{place_of('Packs')}: extract() returned None; it must return a list of Unpacked"
    assert (ended.code, said in ended.err) == (1, True), ended.err


@pytest.mark.parametrize(("source", "cls", "kind"), [("acme_shelf", "Shelf", "None"), ("acme_names", "Names", "str")])
def test_a_bundle_source_that_lists_something_else(acme: "Project", source: str, cls: str, kind: str) -> None:
    head = "version: 1\nbundle:\n  id: b\n  entry_flow: flow.yaml\n  layout: {profiles_file: p.yaml}\n"
    acme.write(f"{head}  source: {{type: {source}}}\n", "bundle.yaml")
    synced = acme.command("bundle", "sync", "-m", "bundle.yaml")
    said = f"{place_of(cls)}: list() returned {kind}; it must return the files as RemoteFileMeta"
    assert (synced.code, synced.err.splitlines()[0]) == (1, f"AF5201 bundle source {source}: {said}")


def test_a_response_that_a_connector_has_made_itself_is_as_good(acme: "Project") -> None:
    """As one does that sends by another library: a response of httpx without its request."""
    flow(acme, "rest", "acme", "http_download", "path: /, output: a.txt", "response")
    ended = acme.command("run", "flow.yaml")
    assert ended.code == 0, ended.err
