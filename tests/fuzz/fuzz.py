"""Coverage-guided fuzzing of what reads foreign text: `make fuzz`, or `python tests/fuzz/fuzz.py TARGET [SECONDS]`.

A crash is any exception that is not one of ours. The input that causes it is written to the current folder and
belongs, once mended, into the tests. Without a target all of them are listed.
"""

import contextlib
import csv
import datetime as dt
import io
import json
import logging
import os
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import atheris

OURS = [
    f"aetherflow{each}" for each in ("", "_builtins_db", "_builtins_reports", "_builtins_rest", "_builtins_transfer")
]
with atheris.instrument_imports(include=[*OURS, "croniter", "zipfile", "tarfile", "paramiko.hostkeys"]):
    import httpx
    import paramiko

    from aetherflow.core.api import BundleSourceInit, ColumnType, CsvFormat, ExtractRules, StepInputError
    from aetherflow.core.base.errors import AetherflowError
    from aetherflow.core.base.location import Location
    from aetherflow.core.base.redact import Redactor
    from aetherflow.core.builtins.checksums import as_line, read_lines
    from aetherflow.core.builtins.git_source import GitSource
    from aetherflow.core.bundle.listing import listing_fingerprint, read_listing
    from aetherflow.core.bundle.manifest import check_source, load_manifest
    from aetherflow.core.checks.kinds import KINDS, Environment, check_document
    from aetherflow.core.contracts.connector import RemoteFileMeta
    from aetherflow.core.host.catalog import installed_catalog
    from aetherflow.core.host.distributions import MetadataFolder, name_and_version, points_in
    from aetherflow.core.kernel.resolver.template import parse_template, render
    from aetherflow.core.kernel.resolver.when import evaluate_when
    from aetherflow.core.kernel.yaml.loader import parse_document
    from aetherflow.core.runtime.environment.envfiles import read_env_file
    from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec
    from aetherflow.core.runtime.processes.output import RedactedStream
    from aetherflow.core.runtime.workspace.paths import inside
    from aetherflow.scheduler.document.reading import read_schedule
    from aetherflow.scheduler.launchers import broker, signing
    from aetherflow.scheduler.launchers.celery import CeleryLauncher, Ordered
    from aetherflow.scheduler.launchers.signing import MessageKind, RefusedError
    from aetherflow.scheduler.time.cron import Cron
    from aetherflow_builtins_db import params, scripts, statements
    from aetherflow_builtins_db.loading.convert import converter
    from aetherflow_builtins_db.loading.delimited import DelimitedReader
    from aetherflow_builtins_db.loading.records import JsonLinesReader
    from aetherflow_builtins_reports.cells.casting import Caster, Conventions
    from aetherflow_builtins_reports.fill.block import Block, fixed
    from aetherflow_builtins_reports.fill.filling import Filling
    from aetherflow_builtins_reports.fill.places import find_texts, table_names
    from aetherflow_builtins_reports.package.styles import Look
    from aetherflow_builtins_reports.package.template import Template
    from aetherflow_builtins_reports.sources import delimited as reports_delimited
    from aetherflow_builtins_reports.sources.jsonl import JsonlSource
    from aetherflow_builtins_reports.steps.fields import Target
    from aetherflow_builtins_reports.steps.trial import try_targets
    from aetherflow_builtins_rest.bodies import unpacked
    from aetherflow_builtins_rest.pages import Cursor, LinkHeader, NextUrl, Offset, PageNumber
    from aetherflow_builtins_rest.rate_limit import retry_after
    from aetherflow_builtins_transfer.archives import tar_read, zip_read
    from aetherflow_builtins_transfer.archives.limits import Limits
    from aetherflow_builtins_transfer.archives.unpack import unpack
    from aetherflow_builtins_transfer.connectors.sftp.keys import HostKeys, load_key
    from aetherflow_builtins_transfer.connectors.sftp.settings import SshHost

sys.path += [str(Path(__file__).parents[1] / name) for name in ("torture", "services")]
MAX_BYTES = 4096
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
FOLDER = Path(tempfile.mkdtemp(prefix="aetherflow-fuzz-", dir=MEMORY))
SCOPE = {"env": {"A": "x", "EMPTY": ""}, "steps": {"s": {"n": 5, "files": [1, 2], "null": None}}}
NOON, BERLIN = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC), ZoneInfo("Europe/Berlin")
JOBS = {"jobs": {"a": {"status": "FAILED", "outputs": {"n": "5", "k": 3, "t": True}}}}


def loader(text: str) -> None:
    parse_document(text, "fuzz.yaml")


def resolver(text: str) -> None:
    parse_template(text)
    render(text, SCOPE)


def manifest(text: str) -> None:
    """A manifest, and the listing of a source, whose paths the same text gives."""
    path = written(text, "bundle.yaml")
    with contextlib.suppress(AetherflowError):
        check_source(load_manifest(path), installed_catalog())
    files = read_listing(RemoteFileMeta(rel_path=line, size=1) for line in text.split("\n"))
    root = FOLDER / "store"
    assert all((root / name).resolve().is_relative_to(root.resolve()) for name in files), text
    listing_fingerprint(files)


def when(text: str) -> None:
    evaluate_when(text, JOBS)


def dotenv(text: str) -> None:
    path = written(text, "fuzz.env")
    read_env_file(EnvFileSpec(type="dotenv", path=str(path)), FOLDER, Location("fuzz"))


def path(text: str) -> None:
    found = inside(text, FOLDER, [FOLDER])
    assert found.is_relative_to(FOLDER.resolve()), text


def cron(text: str) -> None:
    """An expression that is read fires, and so does its normal form, at the same time."""
    found = Cron.parse(text)
    at = found.after(NOON, BERLIN)
    assert at is not None, text
    assert found.before(at, BERLIN) == at, text
    assert Cron.parse(found.normal).after(NOON, BERLIN) == at, text


def redactor(text: str) -> None:
    secret, _, rest = text.partition("\0")
    mask = Redactor()
    mask.add([secret])
    stream, middle = RedactedStream(mask), len(rest) // 2
    pieces = stream.feed(rest[:middle]) + stream.feed(rest[middle:]) + stream.finish()
    assert pieces == mask.mask(rest), (secret, rest)


def unpacking(data: bytes) -> None:
    home = Path(tempfile.mkdtemp(dir=FOLDER))
    archive, into = home / "archive", home / "into"
    archive.write_bytes(data)
    into.mkdir()
    try:
        unpack(archive, ExtractRules(Limits(max_members=50, max_total_bytes=1 << 20, max_ratio=100)), into)
    finally:
        assert sorted(path.name for path in home.iterdir()) == ["archive", "into"]
        assert not [path for path in into.rglob("*") if path.is_symlink()]
        shutil.rmtree(home)


def written(text: str, name: str) -> Path:
    """The text in a file."""
    found = FOLDER / name
    found.write_bytes(text.encode("utf-8", "surrogatepass"))
    return found


ENVIRONMENT = Environment()


def document(text: str) -> None:
    """A document of every kind: a mistake is a finding."""
    file = written(text, "fuzz.yaml")
    for kind in KINDS:
        check_document(file, ENVIRONMENT, kind)


def schedule(text: str) -> None:
    """A schedule: a mistake is a finding."""
    read_schedule(written(text, "schedule.yaml"))


def sql(text: str) -> None:
    """What is split is all there."""
    for lexis in get_args(params.Lexis):
        assert "".join(each for _, each in params.tokens_as_written(text, lexis)) == text
        with contextlib.suppress(StepInputError):
            for statement in scripts.split_script(text, lexis):
                assert statement.removesuffix(";") in text, statement
                statements.commits(statement, "mysql")
        params.percent_style(text, lexis)
    for ask in (statements.is_query, statements.may_read, statements.without_end, statements.keeps_session):
        ask(text)


TYPES = [
    converter(ColumnType(kind)) for kind in ("bool", "int", "float", "decimal", "bytes", "date", "datetime", "time")
]
CASTS = [
    Caster(kind, Conventions(), Counter()) for kind in ("basic", "string", "int", "float", "bool", "date", "datetime")
]


def converted(rows: Any) -> None:
    """Each value in each type of a database and of a workbook."""
    for value in (value for row in rows for value in row):
        for convert in TYPES:
            with contextlib.suppress(ValueError):
                convert(value)
        for cast in CASTS:
            cast.cell(value)


def delimited(text: str) -> None:
    for dialect in (CsvFormat(), CsvFormat("\t", quoting="none"), CsvFormat(";", escapechar="\\", doublequote=False)):
        reader = DelimitedReader(io.StringIO(text, newline=""), dialect)
        for batch in reader.batches(3, lambda reject: None):
            converted(batch.rows)
    file = written(text, "fuzz.csv")
    for given in (
        reports_delimited.Dialect(),
        reports_delimited.Dialect(quoting="none"),
        reports_delimited.Dialect(quoting="nonnumeric"),
        reports_delimited.Dialect(quotechar="'", escapechar="\\"),
    ):
        source = reports_delimited.DelimitedSource(file, given, has_header=True)
        with contextlib.closing(source):
            for chunk in source.chunks():
                converted(chunk.columns)


def jsonl(text: str) -> None:
    reader = JsonLinesReader(io.StringIO(text, newline=""))
    for batch in reader.batches(3, lambda reject: None):
        converted(batch.rows)
    with contextlib.closing(JsonlSource(written(text, "fuzz.jsonl"), None)) as source:
        for chunk in source.chunks():
            converted(chunk.columns)


KEY, SERVER = paramiko.ECDSAKey.generate(), SshHost(host="server.example.com", port=2222, user="u")


def ssh(text: str) -> None:
    """The files known_hosts and of a private key."""
    known = HostKeys(SERVER, written(text, "known_hosts"), "strict")
    known.types()
    with contextlib.suppress(AetherflowError):
        known.check(KEY, logging.getLogger("fuzz"))
    with contextlib.suppress(AetherflowError):
        load_key(text, None, "the key")


PAGES = [
    LinkHeader(type="link_header"), NextUrl(type="next_url", next="next"), Cursor(type="cursor", next="next"),
    PageNumber(type="page", total_pages="next"), Offset(type="offset", total="next"),
]  # fmt: skip


def http(text: str) -> None:
    """Headers and JSON of a response: where the next page is, and how long to wait."""
    retry_after(text)
    response = httpx.Response(200, headers=[(b"link", text.encode("latin-1", "replace"))])
    data: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(text)
    for style in PAGES:
        with contextlib.suppress(AetherflowError):
            style.following(style.first(), response, data, 3)


def body(data: bytes) -> None:
    """The packed body of a response, in pieces."""
    middle = len(data) // 2
    for encoding in ("gzip", "deflate", "identity", "br, gzip"):
        with contextlib.suppress(AetherflowError):
            for _ in unpacked([data[:middle], data[middle:]], encoding):
                pass


def metadata(text: str) -> None:
    """The metadata of a distribution."""
    folder = FOLDER / "fuzz-1.dist-info"
    folder.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    found = MetadataFolder(str(folder))
    name_and_version(found)
    list(points_in(found.read_text("entry_points.txt") or ""))


class Tree(GitSource):
    """A source whose git command lists files of these names; it is only they that a repository decides."""

    said = ""

    def _get(self) -> str:
        return "0" * 40

    def _entries(self, *arguments: str) -> Iterator[bytes]:
        del arguments
        for number, name in enumerate(self.said.encode("utf-8", "surrogatepass").split(b"\0")):
            yield b"100644 blob %040d %7d\t%b" % (number, number, name)

    def _facts(self, blob: str) -> tuple[int, str]:
        return len(blob), "0" * 64


TREE = Tree(BundleSourceInit("git", "fuzz", {"url": "https://git.example.com/a.git"}, FOLDER))


def git(text: str) -> None:
    """The entries of a tree."""
    TREE.said = text
    read_listing(TREE.list())


def checksums(text: str) -> None:
    """Checksums that are read are the same when they are written and read again."""
    file = written(text, "sums")
    found = read_lines(file)
    again = written("".join(as_line(*each) for each in found), "again")
    assert read_lines(again) == found, text


def orders(text: str) -> None:
    """A message that nobody signed, and the body of an order that an allowed key has signed."""
    message = as_json(text)
    with contextlib.suppress(RefusedError):
        signing.opened(message, MessageKind.ORDER, ["q"])
        raise AssertionError(text)
    if isinstance(message, dict):
        sent = signing.signed(MessageKind.ORDER, "q", message)
        body = signing.opened(sent, MessageKind.ORDER, ["q"]).body
        with contextlib.suppress(ValueError):
            assert broker.RunOrder.read(body).arguments[0] in ("run", "wrap", broker.INSIDE)


def answers(text: str) -> None:
    """The same for answers and heartbeats."""
    body = as_json(text)
    launcher = LAUNCHERS[0]
    order = broker.RunOrder("i", "r", "", ("run",), "/", "/x.log", {}, "me", "r.1")
    launcher._orders["r.1"] = ordered = Ordered(launcher, order, "q", lambda: None)
    launcher.take(body, Delivered())
    assert ordered.poll() is None, text
    for kind in (MessageKind.ANSWER, MessageKind.HEARTBEAT) if isinstance(body, dict) else ():
        launcher.take({"kind": kind.value, "message": signing.signed(kind, "q", body)}, Delivered())


class Delivered:
    """A message of the broker."""

    def ack(self) -> None:
        """Nothing."""


LAUNCHERS: list[CeleryLauncher] = []


def lay_keys() -> None:
    """Keys for orders, and a launcher that asks no broker."""
    from celery_workers import lay_keys as lay

    os.environ |= {**lay(FOLDER / "keys"), broker.URL: "redis://localhost:1/0"}
    LAUNCHERS.append(CeleryLauncher())
    LAUNCHERS[0]._queues.add("q")
    logging.getLogger("aetherflow.scheduler").disabled = True


def as_json(text: str) -> Any:
    """The JSON value of a text; None for one that is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def template_parts() -> dict[str, bytes]:
    from reports_templates import parts_of, rich

    return parts_of(rich(FOLDER / "rich.xlsx"))


PARTS: dict[str, bytes] = {}
TARGET = Target.model_validate({"name": "t", "cell": "Data!A3", "insert": "grow"})


def edited(data: bytes) -> dict[str, bytes]:
    """The parts of a template, each edit of four bytes and a text: which part, where (two), how many to replace."""
    parts, names = dict(PARTS), sorted(PARTS)
    for edit in data.split(b"\0\0"):
        if len(edit) >= 4:
            name = names[edit[0] % len(names)]
            old = parts[name]
            at = int.from_bytes(edit[1:3]) % (len(old) + 1)
            parts[name] = old[:at] + edit[4:] + old[at + edit[3] :]
    return parts


def workbook(data: bytes) -> None:
    """A template of which a few places are foreign: looked at, and filled."""
    parts = edited(data)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    file.seek(0)
    with Template(file, "fuzz.xlsx") as template:
        for style in range(4):
            template.styles.is_date(style)
            template.styles.derive(
                style, Look("0.0%", bold=True, fill="FF0000", color="00FF00", wrap=True, top_border=True)
            )
        table_names(template)
        find_texts(template, [("QIP_ANCHOR", None)])
        try_targets(template, [TARGET])
        filling = Filling(template, FOLDER)
        block = Block("t", 3, 1, fixed([("n", "1"), ("t", "x")]), Conventions(), default_dtype="none")
        filling.plan(template.workbook.sheet("Data")).blocks.append(block)
        filling.write(io.BytesIO(), "fuzz.xlsx", None)


TARGETS: dict[str, Callable[[str], None]] = {
    each.__name__: each
    for each in (
        answers, checksums, cron, delimited, document, dotenv, git, http, jsonl, loader, manifest, metadata, orders,
        path, redactor, resolver, schedule, sql, ssh, when,
    )
}  # fmt: skip
OF_BYTES: dict[str, Callable[[bytes], None]] = {"body": body, "workbook": workbook, "zip": unpacking}
READERS = zip_read, tar_read
"""Imported above, so that they are instrumented."""


def seeds(name: str) -> list[str]:
    """A folder of inputs to start from: nobody guesses the structure of an archive."""
    folder = FOLDER / "seeds"
    folder.mkdir()
    from fuzz_seeds import SEEDS

    for number, text in enumerate(SEEDS.get(name, ())):
        (folder / str(number)).write_bytes(text.encode("utf-8", "surrogateescape"))
    if name in ("answers", "orders"):
        lay_keys()
    if name == "workbook":
        PARTS.update(template_parts())
        for number in range(len(PARTS)):
            (folder / str(number)).write_bytes(bytes([number, 1, number, 2, 60]))
    if name == "zip":
        from torture_archives import all_cases

        for file, make, _ in all_cases():
            if len(content := make()) <= MAX_BYTES:
                (folder / file).write_bytes(content)
    return [str(folder)]


def main() -> None:
    if len(sys.argv) < 2:
        print(*sorted({**TARGETS, **OF_BYTES}), sep="\n")
        return
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "60"
    csv.field_size_limit(sys.maxsize)

    def one_input(data: bytes) -> None:
        with contextlib.suppress(AetherflowError):
            if name in OF_BYTES:
                OF_BYTES[name](data)
            else:
                TARGETS[name](data.decode("utf-8", "surrogateescape"))

    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-rss_limit_mb=1024", f"-artifact_prefix={name}-"]
    if name == "workbook":  # so slow that short inputs would take all of the time
        limits.append("-len_control=0")
    atheris.Setup([sys.argv[0], *limits, *seeds(name)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    # in a child: libFuzzer ends its process at once, and nobody would remove the folder
    child = os.fork()
    if child == 0:
        main()
        sys.exit()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(FOLDER)
    sys.exit(min(abs(code), 255))
