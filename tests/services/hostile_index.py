"""An index with wheels of all names, none what it says: newer versions, more specific tags, a `.pth` in each."""

import base64
import contextlib
import functools
import hashlib
import re
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import release
from uv_program import ROOT

VERSION = release.version_of(ROOT)
HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
THIRD_PARTY = [(VERSION, f"{HERE}-none-any"), (f"{VERSION}.post1", "py3-none-any"), ("1.9.9", "py3-none-any")]
"""Version and tag of the third-party wheels: pip prefers a more specific wheel, and a newer version in a range."""
PINNED = {
    name: [(version, "py3-none-any")]
    for name, version in re.findall(r"^(\S+?)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}


def wheel_of(folder: Path, name: str, version: str, tag: str, files: Mapping[str, str], *requires: str) -> Path:
    """A wheel with these files."""
    stem = f"{name.replace('-', '_')}-{version}"
    extras = "".join(f"Provides-Extra: {extra}\n" for extra in (*release.locks_of(ROOT), "driver"))
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


class Index(BaseHTTPRequestHandler):
    """Has a wheel under every name that is asked for, none of them what it says. Each brings a `.pth`.

    Libraries have the versions of the locks, too. What is called acme is of those who ask for it.
    """

    def __init__(self, folder: Path, *args: Any) -> None:
        self.folder = folder
        super().__init__(*args)

    def do_GET(self) -> None:
        kind, name = self.path.strip("/").split("/")
        if kind == "simple":
            listed = [(version, tag) for version, tag in (*THIRD_PARTY, *PINNED.get(name, ()))]
            wheels = sorted(self.folder.glob(f"{name.replace('-', '_')}-*.whl")) or [
                wheel_of(self.folder, name, version, tag, {f"third_party_{name}.pth": "import sys\n"})
                for version, tag in listed
            ]
            body = "".join(f'<a href="/files/{wheel.name}">{wheel.name}</a>' for wheel in wheels).encode()
        else:
            body = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "simple" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests free of requests."""


@contextlib.contextmanager
def hostile_index(root: Path) -> Iterator[str]:
    """Serve wheels under all names, none of them what it says; the address. Wheels that are in `root` are served."""
    root.mkdir(exist_ok=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Index, root)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
