"""The installation of "Install" and "Lock down an installation", typed word for word, with several accounts.

It is in a mount namespace: `/etc`, `/opt`, `/srv` and `/var` of this machine stay as they are. sudo, which a machine
may not have, is runuser here, and systemctl starts what a unit says.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from services import Database, Sshd, need
from uv_program import ROOT, uv

ACCOUNT, OTHER, TEAM = "aetherflow", "mallory", "team"
"""The account of flows, another one of the machine, and the one that publishes bundles."""
FLOWS, STATE = Path("/srv/aetherflow"), Path("/var/lib/aetherflow")
SECRET = "s3cret-of-the-account"
MOUNTS = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/opt" "$1/srv" "$1/lib" "$1/log" "$1/run" "$1/sysusers" "$1/tmpfiles"
cp -a /etc "$1/etc"
rm -rf "$1/etc/aetherflow"
for pair in etc:/etc opt:/opt srv:/srv lib:/var/lib log:/var/log run:/run \
    sysusers:/usr/lib/sysusers.d tmpfiles:/usr/lib/tmpfiles.d; do
    mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
echo mounted
exec sleep 86400
"""
SUDO = """\
#!/bin/sh
shift; user=$1; shift
exec runuser -u "$user" -- env "$@"
"""
SYSTEMCTL = """\
#!/bin/sh
[ "$1" = enable ] || exit 0
unit=/etc/systemd/system/$3.service
of() { sed -n "s/^$1=//p" "$unit"; }
cd "$(of WorkingDirectory)" && umask "$(of UMask)" && ulimit -c "$(of LimitCORE)" || exit 1
setsid runuser -u "$(of User)" -- $(of ExecStart) >/var/log/aetherflow/scheduler.log 2>&1 &
"""


class Told(NamedTuple):
    """Exit code and output of a command."""

    code: int
    text: str


def page(name: str) -> str:
    """The text of a how-to."""
    return (ROOT / f"docs/how-to/{name}.md").read_text(encoding="utf-8")


def files_of(text: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    return dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))


def blocks_of(text: str) -> list[str]:
    """The blocks of commands of a page, or of a part of one."""
    return re.findall(r"```text\n(.*?)```", text, re.DOTALL)


class Site:
    """The machine of the pages."""

    def __init__(self, folder: Path, release: Path) -> None:
        self.folder = folder
        self.sources = folder / "sources"
        self.database: Database | None = None
        self.partner: Sshd | None = None
        shutil.copytree(ROOT / "deploy", self.sources / "deploy")
        shutil.copytree(release, self.sources / "dist")
        for name, text in (("sudo", SUDO), ("systemctl", SYSTEMCTL)):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(text)
            program.chmod(0o755)
        kept = {key: text for key, text in os.environ.items() if not key.startswith(("AETHERFLOW_", "PIP_", "PYTHON"))}
        self.env = {**kept, "PATH": f"{folder}/bin:{kept['PATH']}:/usr/sbin:/sbin", "PIP_CONFIG_FILE": os.devnull}
        (folder / "machine").mkdir()
        self._space = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(folder / "machine")], stdout=subprocess.PIPE, text=True
        )
        assert self._space.stdout is not None
        assert self._space.stdout.readline() == "mounted\n"

    def close(self) -> None:
        """End what runs there; with its last process the machine is gone."""
        space = Path(f"/proc/{self._space.pid}/ns/mnt").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/mnt").readlink() == space:
                    os.kill(int(process.name), 9)
        self._space.wait(30)
        assert self._space.stdout is not None
        self._space.stdout.close()

    def type(
        self, line: str, *, user: str = "root", cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Told:
        """Type a line in a shell of an account."""
        there = ["nsenter", f"--target={self._space.pid}", "--mount"]
        change = [] if user == "root" else ["runuser", "-u", user, "--"]
        done = subprocess.run(
            [*there, *change, "bash", "-c", f"cd {cwd or (self.sources if user == 'root' else FLOWS)} && {line}"],
            env={**self.env, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return Told(done.returncode, done.stdout)

    def done(self, line: str, cwd: Path | None = None) -> str:
        """Type a line of root that must succeed; what it prints."""
        told = self.type(line, cwd=cwd)
        assert told.code == 0, f"{line}\n{told.text}"
        return told.text

    def write(self, path: str | Path, text: str, *, user: str = "root") -> None:
        """Write a file as an account, relative to the folder of the flows."""
        target = FLOWS / path
        words = f"mkdir -p '{target.parent}' && cat > '{target}' && chmod go+r '{target}'"
        there = ["nsenter", f"--target={self._space.pid}", "--mount", "runuser", "-u", user, "--", "sh", "-c", words]
        subprocess.run(there, input=text, text=True, check=True, env=self.env)

    def run(self, *words: str, user: str = ACCOUNT, env: Mapping[str, str] | None = None) -> Told:
        """A command of the account in the folder of the flows; `schedule …` is one of the scheduler."""
        program = "aetherflow-scheduler" if words[0] == "schedule" else "aetherflow"
        quoted = " ".join(f"'{word}'" for word in words[program != "aetherflow" :])
        return self.type(f"/opt/aetherflow/bin/{program} {quoted}", user=user, cwd=FLOWS, env=env)

    def follow(self, text: str) -> None:
        """Type the commands of a page; what they print must be what it shows."""
        for name, content in files_of(text).items():
            (self.sources / name).parent.mkdir(exist_ok=True)
            (self.sources / name).write_text(content)
        cwd = self.sources
        for block in blocks_of(text):
            lines = block.splitlines()
            prompts = [line.startswith(("# ", "$ ")) for line in lines] if block.startswith(("# ", "$ ")) else []
            for number, line in enumerate(lines):
                if not prompts:
                    self.done(line)
                elif line.startswith("# cd "):
                    cwd = Path(line.removeprefix("# cd "))
                elif prompts[number]:
                    after = next((each for each in range(number + 1, len(lines)) if prompts[each]), len(lines))
                    shown = lines[number + 1 : after]
                    told = self.type(line[2:], cwd=cwd)
                    assert told.code == 0 or shown, f"{line}\n{told.text}"
                    assert not shown or told.text.splitlines() == shown, f"{line}\n{told.text}"


@contextlib.contextmanager
def locked_down(folder: Path, release: Path, extras: str) -> Iterator[Site]:
    """A machine on which the pages were followed; pip finds the libraries installed, and the wheels in the release."""
    need("unshare", "nsenter", "runuser", "setpriv", "systemd-sysusers", "systemd-tmpfiles", "ssh-keygen", "useradd")
    site = Site(folder, release)
    try:
        libraries = folder / "libraries.txt"
        locks = "".join((release / "locks" / f"{name}.txt").read_text() for name in ("aetherflow", *extras.split()))
        libraries.write_text("\n".join(sorted(set(re.findall(r"^\S+==\S+(?: ; .*?)?(?= \\$)", locks, re.MULTILINE)))))
        uv("venv", "--quiet", "--python", sys.executable, folder / "environment", cwd=folder)
        python = folder / "environment/bin/python"
        uv("pip", "install", "--link-mode", "copy", "--python", python, "pip", "-r", libraries, cwd=folder)
        site.done(f"cp -a {folder}/environment /opt/aetherflow")
        shutil.rmtree(folder / "environment")
        section = page("install").partition("\n## On a host with systemd\n")[2].partition("\nThe project file leads")[0]
        site.follow(section)
        site.done(f"useradd --system {OTHER} && useradd --system {TEAM}")
        # what systemd does for LoadCredential=
        shown = "/run/credentials/aetherflow-scheduler.service"
        site.done(f"install -d -m 500 -o {ACCOUNT} {shown}")
        site.done(f"printf %s {SECRET} | install -m 400 -o {ACCOUNT} /dev/stdin {shown}/DB_PASSWORD")
        site.done("/opt/aetherflow/bin/python -m compileall -q -j 2 /opt/aetherflow/lib || true")
        site.follow(page("lock-down"))
        yield site
    finally:
        site.close()
