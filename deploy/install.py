#!/usr/bin/env python3
"""Install AetherFlow from this release: `python3 install.py --to /opt/aetherflow postgres sftp`.

pip takes every file, ours and the libraries, by the hashes in `locks/` and refuses any other one, whatever an index
offers. The release is copied into the environment, so that you can add an extra later:
`/opt/aetherflow/bin/python /opt/aetherflow/share/aetherflow/install.py excel`.

Plugins of others, and all that they need, come by the hashes in a file of yours: `-r FILE`, which is kept, too.

You need Python 3.11 or newer, and an index with the libraries. Without an index, put their wheels into a folder and set
PIP_NO_INDEX=1 PIP_FIND_LINKS=/FOLDER.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASE = Path(__file__).resolve().parent
LOCKS = RELEASE / "locks"
ALWAYS = "aetherflow"
KEPT = Path("share", "aetherflow")
OLD = KEPT.with_name("aetherflow.old")
CHOSEN, OWN, OURS, NOTED = "extras.txt", "own.txt", "ours.txt", "installed.json"


def keep(folder: Path, extras: list[str], own: str) -> None:
    """Copy the release, the list of extras and your own requirements into the environment, for additions and upgrades.

    `ours.txt` is for other calls of pip: as a constraint it leads every name of ours to the wheel that is kept.
    """
    kept, new, old = folder / KEPT, folder / KEPT.with_name("aetherflow.new"), folder / OLD
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(RELEASE, new, ignore=shutil.ignore_patterns("*.tar.gz", "__pycache__", ".*"))
    (new / CHOSEN).write_text("".join(f"{name}\n" for name in extras), encoding="utf-8")
    (new / OWN).write_text(own, encoding="utf-8")
    (new / NOTED).write_text(kept_text(folder, NOTED) or "{}", encoding="utf-8")
    names = {wheel.name: wheel.name.partition("-")[0].replace("_", "-") for wheel in sorted(new.glob("*.whl"))}
    ours = "".join(f"{name} @ {(kept / wheel).as_uri()}\n" for wheel, name in names.items())
    (new / OURS).write_text(ours, encoding="utf-8")
    if kept.exists():
        shutil.rmtree(old, ignore_errors=True)
        kept.rename(old)
    new.rename(kept)
    shutil.rmtree(old, ignore_errors=True)


def kept_text(folder: Path, name: str) -> str:
    """The text of a file that an earlier call has kept, also one that was killed; empty if it kept none."""
    kept = next((path for path in (folder / KEPT / name, folder / OLD / name) if path.exists()), None)
    return kept.read_text(encoding="utf-8") if kept is not None else ""


def main() -> int:
    """Install the named extras and those installed before; returns pip's exit code, 2 for a wrong command line."""
    known = sorted({path.stem for path in LOCKS.glob("*.txt")} - {ALWAYS})
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__, epilog=f"extras: {', '.join(known)}"
    )
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="what to add to the kernel and the scheduler")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="the environment, made if missing (default: that of this Python)"
    )
    parser.add_argument(
        "-r", type=Path, metavar="FILE", dest="own", help="requirements of your own, complete and with hashes"
    )
    parser.add_argument(
        "--force-reinstall", action="store_true", help="write all files again, also those that are installed"
    )
    given = parser.parse_args()
    if not known:
        parser.error(f"{LOCKS} is missing: run the install.py of a release, which `make release` writes to dist/")
    if unknown := sorted(set(given.extras) - {*known}):
        parser.error(f"there is no extra {', '.join(unknown)}; there are: {', '.join(known)}")
    if given.to is None and sys.prefix == sys.base_prefix:
        parser.error("name the environment with --to FOLDER; it is made if missing")
    try:
        own = given.own.read_text(encoding="utf-8") if given.own else None
    except (OSError, ValueError) as error:
        parser.error(f"-r {given.own} cannot be read: {error}")
    folder = given.to.absolute() if given.to else Path(sys.prefix)
    python = folder / "bin/python"
    pip = [python, "-I", "-m", "pip"]
    if not python.exists():
        if subprocess.call([sys.executable, "-m", "venv", folder]) != 0:
            sys.exit("install.py: the environment was not made; on Debian or Ubuntu run: apt-get install python3-venv")
        if sys.version_info < (3, 12):  # there venv brings it, and the release does not know it
            subprocess.run([*pip, "uninstall", "-q", "-y", "setuptools"], check=False)
    extras = sorted({*given.extras, *kept_text(folder, CHOSEN).split()} & {*known})
    own = kept_text(folder, OWN) if own is None else own
    # --no-deps: the locks are complete, so pip looks for nothing else; a build would take its tools by name
    command = [*pip, "install", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    again = ["--force-reinstall"] if given.force_reinstall else []
    files = (*(LOCKS / f"{name}.txt" for name in (ALWAYS, *extras)), "/dev/stdin")
    locks = [f"--requirement={file}" for file in files]
    with tempfile.TemporaryDirectory(prefix="aetherflow-") as scratch:
        report = Path(scratch, "report.json")
        again.append(f"--report={report}")
        # the locks name our wheels by paths from there, so that no index is asked for them
        done = subprocess.run([*command, *again, *locks], cwd=RELEASE, input=own, text=True, check=False)
        if done.returncode == 0:
            keep(folder, extras, own)
            # what pip has installed, for `doctor --installation`
            subprocess.run([python, "-I", "-m", "aetherflow.core.host.installation", report], check=True)
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # pip has ended by it, too; the same command continues
        sys.exit(130)
