"""An index with wheels of our names that are not ours: newer versions, more specific tags, a `.pth` in each."""

import base64
import contextlib
import functools
import hashlib
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import release
from uv_program import OURS, ROOT

VERSION = release.version_of(ROOT)
HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
THIRD_PARTY = [(VERSION, f"{HERE}-none-any"), (f"{VERSION}.post1", "py3-none-any"), ("1.9.9", "py3-none-any")]
"""Version and tag of the third-party wheels: pip prefers a more specific wheel, and a newer version in a range."""


def wheel_of(folder: Path, name: str, version: str, tag: str, files: Mapping[str, str], *requires: str) -> Path:
    """A wheel with these files."""
    stem = f"{name.replace('-', '_')}-{version}"
    extras = "".join(f"Provides-Extra: {extra}\n" for extra in release.locks_of(ROOT))
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    all_files = {
        **files,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extras}{needs}",
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    digests = {file: hashlib.sha256(text.encode()).digest() for file, text in all_files.items()}
    coded = {file: base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for file, digest in digests.items()}
    record = "".join(f"{file},sha256={coded[file]},{len(text)}\n" for file, text in all_files.items())
    made = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as wheel:
        for file, text in {**all_files, f"{stem}.dist-info/RECORD": f"{record}{stem}.dist-info/RECORD,,\n"}.items():
            wheel.writestr(file, text)
    return made


@contextlib.contextmanager
def hostile_index(root: Path) -> Iterator[str]:
    """Serve wheels of all our names, none of them ours; the address."""
    for name in OURS:
        (root / "simple" / name).mkdir(parents=True)
        for version, tag in THIRD_PARTY:
            wheel_of(root / "simple" / name, name, version, tag, {f"third_party_{name}.pth": "import sys\n"})
    handler = functools.partial(SimpleHTTPRequestHandler, directory=root)
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
