"""Coverage-guided fuzzing of what reads foreign text: `make fuzz`, or `python tests/fuzz/fuzz.py TARGET [SECONDS]`.

A crash is any exception that is not one of ours. The input that causes it is written to the current folder and
belongs, once mended, into the tests.
"""

import contextlib
import datetime as dt
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import atheris

with atheris.instrument_imports(
    include=["aetherflow", "aetherflow_builtins_transfer", "croniter", "zipfile", "tarfile"]
):
    from aetherflow.core.api import ExtractRules
    from aetherflow.core.base.errors import AetherflowError
    from aetherflow.core.base.location import Location
    from aetherflow.core.base.redact import Redactor
    from aetherflow.core.bundle.listing import listing_fingerprint, read_listing
    from aetherflow.core.bundle.manifest import check_source, load_manifest
    from aetherflow.core.contracts.connector import RemoteFileMeta
    from aetherflow.core.host.catalog import installed_catalog
    from aetherflow.core.kernel.resolver.template import parse_template, render
    from aetherflow.core.kernel.resolver.when import evaluate_when
    from aetherflow.core.kernel.yaml.loader import parse_document
    from aetherflow.core.runtime.environment.envfiles import read_env_file
    from aetherflow.core.runtime.environment.spec.environment import EnvFileSpec
    from aetherflow.core.runtime.processes.output import RedactedStream
    from aetherflow.core.runtime.workspace.paths import inside
    from aetherflow.scheduler.time.cron import Cron
    from aetherflow_builtins_transfer.archives import tar_read, zip_read
    from aetherflow_builtins_transfer.archives.limits import Limits
    from aetherflow_builtins_transfer.archives.unpack import unpack

sys.path.append(str(Path(__file__).parents[1] / "torture"))
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
    path = FOLDER / "bundle.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(AetherflowError):
        check_source(load_manifest(path), installed_catalog())
    files = read_listing(RemoteFileMeta(rel_path=line, size=1) for line in text.split("\n"))
    root = FOLDER / "store"
    assert all((root / name).resolve().is_relative_to(root.resolve()) for name in files), text
    listing_fingerprint(files)


def when(text: str) -> None:
    evaluate_when(text, JOBS)


def dotenv(text: str) -> None:
    path = FOLDER / "fuzz.env"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
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


TARGETS: dict[str, Callable[[str], None]] = {
    each.__name__: each for each in (cron, dotenv, loader, manifest, path, redactor, resolver, when)
}
OF_BYTES: dict[str, Callable[[bytes], None]] = {"zip": unpacking}
READERS = zip_read, tar_read
"""Imported above, so that they are instrumented."""


def seeds(name: str) -> list[str]:
    """A folder of inputs to start from: nobody guesses the structure of an archive, or the names of days."""
    folder = FOLDER / "seeds"
    folder.mkdir()
    if name == "cron":
        for number, text in enumerate(("*/15 1-3 * * mon-fri", "@daily", "30 2 1,15 jan-mar/2 7", "5/10 * */2 * 1")):
            (folder / str(number)).write_text(text)
        return [str(folder)]
    if name != "zip":
        return []
    from torture_archives import all_cases

    for file, content, _ in all_cases():
        if len(content) <= MAX_BYTES:
            (folder / file).write_bytes(content)
    return [str(folder)]


def main() -> None:
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "60"

    def one_input(data: bytes) -> None:
        with contextlib.suppress(AetherflowError):
            if name in OF_BYTES:
                OF_BYTES[name](data)
            else:
                TARGETS[name](atheris.FuzzedDataProvider(data).ConsumeUnicode(len(data)))

    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *limits, *seeds(name)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
