"""LibreOffice makes files of other formats: each process of tests has one folder of settings for it."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from isolation import ROOT
from services import need


def convert_to(kind: str, folder: Path, *files: str | Path) -> None:
    """Convert files with LibreOffice; the results are in the folder."""
    _convert(_profile(), kind, folder, *files)


def new_profile() -> str:
    """A new folder of settings, a copy of the first one of this run: to make one takes four fifths of a conversion."""
    homes = Path(os.environ[ROOT])
    first = homes / "office"
    with (homes / "office.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not first.exists():
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "a.csv")
                file.write_text("1\n")
                _convert(str(first), "xlsx", file.parent, file)
    return shutil.copytree(first, tempfile.mkdtemp(prefix="office-", dir=homes), dirs_exist_ok=True)


def _convert(profile: str, kind: str, folder: Path, *files: str | Path) -> None:
    (program,) = need("soffice")
    command = [program, f"-env:UserInstallation=file://{profile}", "--headless", "--convert-to", kind]
    subprocess.run([*command, "--outdir", folder, *files], check=True, capture_output=True, timeout=300)


_profile = cache(new_profile)
"""That of all conversions of this process."""
