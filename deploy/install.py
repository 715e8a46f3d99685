#!/usr/bin/env python3
"""Installs AetherFlow from the files of this release: `python3 install.py --to /opt/aetherflow postgres sftp`.

Ours and every library have the version and one of the hashes in `locks/`: pip refuses other files, whatever name or
version an index offers. The release is kept in the environment, so that an extra can be added later:
`/opt/aetherflow/bin/python /opt/aetherflow/share/aetherflow/install.py excel`.

It needs Python 3.11 or newer, and an index with the libraries or a folder with their wheels: PIP_NO_INDEX=1
PIP_FIND_LINKS=FOLDER.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

RELEASE = Path(__file__).resolve().parent
LOCKS = RELEASE / "locks"
ALWAYS = "aetherflow"
KEPT = Path("share", "aetherflow")
CHOSEN = "extras.txt"


def environment(asked: Path | None) -> Path:
    """The environment to install into; a new one where there is none."""
    folder = asked.absolute() if asked else Path(sys.prefix)
    if not asked and sys.prefix == sys.base_prefix:
        sys.exit("install.py: say which environment: --to FOLDER; it is made where there is none")
    if not (folder / "bin/python").exists():
        made = subprocess.run([sys.executable, "-m", "venv", folder], check=False)
        if made.returncode:
            sys.exit("install.py: no environment was made; on Debian or Ubuntu: apt-get install python3-venv")
    return folder


def keep(folder: Path, extras: list[str]) -> None:
    """Copy the release into the environment, and note the extras, for later additions and upgrades."""
    kept, new = folder / KEPT, folder / KEPT.with_name("aetherflow.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(RELEASE, new, ignore=shutil.ignore_patterns("*.tar.gz", "__pycache__", ".*"))
    (new / CHOSEN).write_text("".join(f"{name}\n" for name in extras), encoding="utf-8")
    shutil.rmtree(kept, ignore_errors=True)
    new.rename(kept)


def main() -> int:
    """Install the extras that are named, and those that are there already; returns pip's exit code."""
    if not LOCKS.is_dir():
        sys.exit("install.py: it has no locks beside it; `make release` puts both into dist/")
    known = sorted({path.stem for path in LOCKS.glob("*.txt")} - {ALWAYS})
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__, epilog=f"extras: {', '.join(known)}"
    )
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="what to add to the kernel and the scheduler")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="the environment; the one of this Python unless named"
    )
    parser.add_argument(
        "--force-reinstall", action="store_true", help="write all files anew, also those that are there"
    )
    given = parser.parse_args()
    if unknown := sorted(set(given.extras) - {*known}):
        parser.error(f"there is no extra {', '.join(unknown)}; there are: {', '.join(known)}")
    folder = environment(given.to)
    noted = folder / KEPT / CHOSEN
    there = noted.read_text(encoding="utf-8").split() if noted.exists() else []
    extras = sorted({*given.extras, *there} & {*known})
    locks = [text for name in (ALWAYS, *extras) for text in ("-r", str(LOCKS / f"{name}.txt"))]
    # --no-deps: the locks are complete, so pip looks for nothing else
    pip: list[str | Path] = [folder / "bin/python", "-I", "-m", "pip", "install", "--require-hashes", "--no-deps"]
    again = ["--force-reinstall"] if given.force_reinstall else []
    # the locks name our wheels by paths from there, so that no index is asked for them
    done = subprocess.run([*pip, *again, *locks], cwd=RELEASE, check=False)
    if done.returncode == 0:
        keep(folder, extras)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
