"""LibreOffice makes files of other formats: each process of tests has one folder of settings for it."""

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from isolation import ROOT
from services import need


def convert_to(kind: str, folder: Path, *files: str | Path) -> None:
    """Convert files with LibreOffice; the results are in the folder."""
    (program,) = need("soffice")
    command = [program, f"-env:UserInstallation=file://{_profile()}", "--headless", "--convert-to", kind]
    subprocess.run([*command, "--outdir", folder, *files], check=True, capture_output=True, timeout=300)


@cache
def _profile() -> str:
    """The folder of settings for all conversions of this process: to make one takes four fifths of a conversion."""
    return tempfile.mkdtemp(prefix="office-", dir=os.environ[ROOT])
