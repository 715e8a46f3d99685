"""The table of the methods of 0.x: the adapters call a connector with exactly these methods and arguments."""

import inspect
import re
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from aetherflow.core.api import Envelope, HttpCall, RemoteEntry
from aetherflow_builtins_db.database import Database
from aetherflow_builtins_db.minimal import MinimalConnector
from aetherflow_builtins_rest.sending import Http
from aetherflow_builtins_transfer.mail.posting import MinimalMail
from aetherflow_builtins_transfer.moving.minimal import MinimalFiles
from docs_pages import ROOT
from packet_strangers import MinimalZip

PAGE = ROOT / "docs/reference/plugins.md"


def documented() -> dict[str, inspect.Signature]:
    """The methods of the table, by name."""
    table = PAGE.read_text().split("## Connectors of 0.x\n")[1].split("\n## ")[0]
    found = {}
    for name, arguments in re.findall(r"`(\w+)\(([^`]*)\)`", table):
        scope: dict[str, Any] = {}
        exec(f"def {name}({arguments}): ...", scope)
        found[name] = inspect.signature(scope[name])
    return found


class Spy:
    """A connector with some of these methods; a call with other arguments than the page has is an error."""

    name, kind, driver = "spy", "acme", "spy"

    def __init__(self, methods: Mapping[str, Callable[..., Any]], optional: frozenset[str] = frozenset()) -> None:
        self.called: set[str] = set()
        for name, work in methods.items():
            setattr(self, name, self._checked(name, work, optional))

    def _checked(self, name: str, work: Callable[..., Any], optional: frozenset[str]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            bound = documented()[name].bind(*args, **{**dict.fromkeys(optional), **named})
            self.called.add(name)
            return work(**bound.arguments)

        return call


@pytest.mark.parametrize("whole", [True, False])
def test_files(whole: bool, tmp_path: Path) -> None:
    there: dict[str, bytes] = {"a": b"1"}
    by_file: dict[str, Callable[..., Any]] = {
        "download": lambda remote, local: Path(local).write_bytes(there[remote]),
        "upload": lambda local, remote: there.update({remote: Path(local).read_bytes()}),
        "mkdir_recursive": lambda folder: None,
    }
    by_bytes: dict[str, Callable[..., Any]] = {
        "read_bytes": lambda remote: there[remote],
        "write_bytes": lambda remote, data: there.update({remote: data}),
        "mkdir": lambda folder: None,
    }
    methods: dict[str, Callable[..., Any]] = {
        "list": lambda folder: [{"name": each, "is_dir": False} for each in there],
        "delete": lambda remote: there.pop(str(remote)),
        "rename": lambda old, new: there.update({new: there.pop(old)}),
        **(by_file if whole else by_bytes),
    }
    spy = Spy(methods)
    files = MinimalFiles(spy)
    assert files.entries("") == [RemoteEntry("a", "file", None, None)]
    got: list[bytes] = []
    files.read("a", lambda data: got.append(bytes(data)))
    blocks = iter([b"22", b""])
    files.write("b", lambda most: next(blocks))
    files.make_folder("c")
    files.rename("b", "d")
    files.remove("a")
    assert (got, there, spy.called) == ([b"1"], {"d": b"22"}, set(methods))


@pytest.mark.parametrize("way", ["fetchmany", "fetchall", "read"])
def test_databases(way: str) -> None:
    rows: dict[str, Callable[..., Any]] = {
        "fetchmany": lambda sql, params, fetch_size: (["n"], [(1,)], [int]),
        "fetchall": lambda sql, params: (["n"], [(1,)]),
        "read": lambda sql, params: (["n"], [(1,)]),
    }
    spy = Spy({way: rows[way], "execute": lambda sql, params: 3})
    database = MinimalConnector(spy)
    assert list(Database(database).read("SELECT n FROM t")[1]) == [(1,)]
    assert database.run("DELETE FROM t", None) == 3
    assert spy.called == {way, "execute"}


@pytest.mark.parametrize("html", [True, False])
def test_mails(html: bool) -> None:
    sent: list[dict[str, Any]] = []
    spy = Spy({"send_plaintext": lambda **who: sent.append(who), "send_html": lambda **who: sent.append(who)})
    message = EmailMessage()
    message["To"], message["Subject"] = "a@x.test", "s"
    message.set_content("text")
    if html:
        message.add_alternative("<p>text</p>", subtype="html")
    MinimalMail(spy).send(message, Envelope("", ("a@x.test", "b@x.test")))
    assert (sent[0]["to"], sent[0]["bcc"], sent[0]["from_addr"]) == (["a@x.test"], ["b@x.test"], None)
    assert spy.called == {"send_html" if html else "send_plaintext"}


def test_requests() -> None:
    """From `json` on, an argument that a request does not have is not given."""
    optional = frozenset({"json", "data", "files", "content", "timeout"})
    answer = httpx.Response(200, content=b"1", request=httpx.Request("GET", "https://x.test/a"))
    spy = Spy({"request": lambda **given: answer}, optional)
    assert Http(spy).send(HttpCall("GET", "https://x.test/a")).content == b"1"
    assert spy.called == {"request"}


def test_all_are_tried() -> None:
    """Archives are called by name alone: the suite of their adapter has a connector with these signatures."""
    archive = {name for name in documented() if name.endswith("_zip")}
    for name in archive:
        wanted = [each for each in inspect.signature(getattr(MinimalZip, name)).parameters if each != "self"]
        assert wanted == list(documented()[name].parameters)
    assert documented().keys() - archive == {
        "fetchmany", "fetchall", "read", "execute", "list", "download", "read_bytes", "upload", "write_bytes",
        "mkdir_recursive", "mkdir", "delete", "rename", "send_plaintext", "send_html", "request",
    }  # fmt: skip
