"""The page of the first hour, typed as it stands: every file is written, every command is run, with a real server."""

import os
import socket
import sys
from pathlib import Path

import pytest

import release
from docs_pages import FIRST_HOUR, ROOT, Sandbox, run_page
from uv_program import uv

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]
PIP = """\
#!/bin/sh
# pip's command line, answered by uv: from its cache if all is there
[ "$1" = install ] && shift
set -- --python "{python}" "$@"
uv pip install --offline "$@" 2>/dev/null || exec uv pip install "$@"
"""


def test_the_first_hour_goes_as_its_page_says(environment: Path, dist: Path, tmp_path: Path) -> None:
    programs, folder = tmp_path / "programs", tmp_path / "here"
    python = environment / "bin/python"
    develop = release.locks_of(ROOT)["develop"].split()
    limits = ("--find-links", dist, "-c", ROOT / "constraints.txt")
    uv("pip", "install", "--python", python, *limits, "aetherflow-core[transfer]", *develop, cwd=tmp_path)
    programs.mkdir()
    (programs / "pip").write_text(PIP.format(python=python))
    (programs / "pip").chmod(0o755)
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{programs}:{environment / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    sandbox = Sandbox(folder, {"PATH": path}, instead={"2121": str(port)})
    ran = run_page(FIRST_HOUR, sandbox)
    assert len(ran) >= 8
    wrong = [
        f"$ {each.command}\n--- shown\n{each.shown}\n--- {each.code}\n{each.printed}" for each in ran if not each.agrees
    ]
    assert wrong == [], "\n\n".join(wrong)
    assert [each.command for each in ran if each.code] == []
