"""`doctor --installation`: each way to bring other code into an installation is found, and nothing else is."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import release
from hostile_index import VERSION, wheel_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]
ROOT = Path(__file__).parents[3]


class Installation:
    """An environment that `install.py` has made of a release."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch = folder, scratch
        (self.site,) = folder.glob("lib/python*/site-packages")

    def type(self, line: str) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "SITE": str(self.site), "HOME": str(self.scratch)}
        return subprocess.run(
            ["bash", "-ec", line], cwd=self.scratch, env=env, capture_output=True, text=True, check=False
        )

    def doctor(self, prefix: str = "") -> tuple[int, set[tuple[str, str]]]:
        """The exit code, and path and reason code of each difference."""
        done = self.type(f"{prefix} aetherflow doctor --installation --json")
        assert done.stderr == "", done.stderr
        found = json.loads(done.stdout)
        assert found["ok"] == (done.returncode == 0)
        return done.returncode, {(self.short(each["file"]), each["reason_code"]) for each in found["differences"]}

    def short(self, text: str) -> str:
        places = {str(self.site): "SITE", str(self.folder): "ENV", str(self.scratch): "HERE"}
        for path, name in places.items():
            text = text.replace(path, name)
        return text


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment, and beside it a copy of it."""
    base = tmp_path_factory.mktemp("installed")
    out = base / "release"
    shutil.copytree(dist, out, ignore=shutil.ignore_patterns(".gitignore"))
    release.write_locks(ROOT, out, {name: release.locks_of(ROOT)[name] for name in ("aetherflow", "excel")})
    release.write_sums(out)
    made: list[str | Path] = [sys.executable, out / "install.py", "--to", base / "environment", "excel"]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copytree(base / "environment", base / "copy", symlinks=True)
    return base / "environment"


@pytest.fixture
def installation(installed: Path, tmp_path: Path) -> Iterator[Installation]:
    yield Installation(installed, tmp_path)
    shutil.rmtree(installed)
    shutil.copytree(installed.with_name("copy"), installed, symlinks=True)


def test_an_installation_as_it_was_made_has_no_difference(installation: Installation) -> None:
    assert installation.doctor() == (0, set())
    done = installation.type("aetherflow doctor --installation")
    assert (done.returncode, done.stdout) == (0, f"OK: {installation.folder}\n")
    assert installation.type("python -m pip list").stdout.count("setuptools") == 0


WRITER = "SITE/aetherflow/core/cli/app.py"
ATTACKS = {
    "code of ours": ("echo 'import os' >> $SITE/aetherflow/core/cli/app.py", {(WRITER, "changed")}),
    "code of a library, and its RECORD": (
        """
        echo 'import os' >> $SITE/six.py
        h=$(openssl dgst -sha256 -binary $SITE/six.py | base64 | tr +/ -_ | tr -d =)
        sed -i "s|^six.py,.*|six.py,sha256=$h,1|" $SITE/six-*/RECORD
        """,
        {("SITE/six-*", "another")},
    ),
    "a module is gone": ("rm $SITE/aetherflow/core/cli/graph.py", {("SITE/aetherflow/core/cli/graph.py", "changed")}),
    "a distribution is gone": ("rm -r $SITE/six*", {("SITE", "missing")}),
    "a .pth file": ("echo 'import os' > $SITE/z.pth", {("SITE/z.pth", "at_start")}),
    "a hidden .pth file": ("echo 'import os' > $SITE/.z.pth", {("SITE/.z.pth", "at_start")}),
    "sitecustomize": ("echo > $SITE/sitecustomize.py", {("SITE/sitecustomize.py", "at_start")}),
    "usercustomize": ("mkdir $SITE/usercustomize; echo > $SITE/usercustomize/__init__.py",
                      {("SITE/usercustomize/__init__.py", "added")}),
    "a module beside ours": ("echo > $SITE/aetherflow/core/extra.py", {("SITE/aetherflow/core/extra.py", "added")}),
    "a package": ("mkdir $SITE/rapid; echo > $SITE/rapid/__init__.py", {("SITE/rapid/__init__.py", "added")}),
    "an entry point": (
        "touch $(dirname $SITE/six-*/METADATA)/entry_points.txt",
        {("SITE/six-*/entry_points.txt", "added")},
    ),
    "a command of ours": ("echo 'import os' >> {env}/bin/aetherflow", {("ENV/bin/aetherflow", "changed")}),
    "another Python": (
        "sed -i '1s|.*|#!/usr/bin/python3|' {env}/bin/aetherflow-scheduler",
        {("ENV/bin/aetherflow-scheduler", "changed"), ("ENV/bin/aetherflow-scheduler", "shebang")},
    ),
    "a further command": ("echo > {env}/bin/ls", {("ENV/bin/ls", "added")}),
    "a lock that is kept": ("echo 'x==1' >> {env}/share/aetherflow/locks/excel.txt",
                            {("ENV/share/aetherflow/locks/excel.txt", "release_changed")}),
    "a lock more": ("echo > {env}/share/aetherflow/locks/more.txt",
                    {("ENV/share/aetherflow/locks/more.txt", "release_changed")}),
    "a wheel that is kept": ("rm {env}/share/aetherflow/aetherflow_core-*.whl",
                             {("ENV/share/aetherflow/aetherflow_core-*.whl", "release_changed")}),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_change_is_found(installation: Installation, name: str) -> None:
    line, expected = ATTACKS[name]
    assert installation.type(line.replace("{env}", str(installation.folder))).returncode == 0
    code, found = installation.doctor()
    shown = {(re.sub(r"-\d[^/]*", "-*", file) if "*" in str(expected) else file, why) for file, why in found}
    wanted = {(re.sub(r"-\*\.whl", "-*", file), why) for file, why in expected}
    assert (code, shown) == (1, wanted)


def test_notes_and_commands_that_cannot_be_read_are_differences(installation: Installation) -> None:
    kept, command = installation.folder / "share/aetherflow", installation.folder / "bin/aetherflow-scheduler"
    with (kept / "SHA256SUMS").open("a") as sums:
        sums.write("no sum\n")
    command.unlink()
    command.symlink_to("/nowhere")
    expected = {("ENV/share/aetherflow", "release_changed"), ("ENV/bin/aetherflow-scheduler", "changed")}
    assert installation.doctor() == (1, expected)
    (kept / "installed.json").write_text("{")
    code, found = installation.doctor()
    assert (code, f"SITE/aetherflow_core-{VERSION}.dist-info" in {file for file, why in found if why == "another"}) == (
        1,
        True,
    )


def test_distributions_of_others_are_found(installation: Installation) -> None:
    folder = installation.scratch
    ours = wheel_of(folder, "aetherflow-scheduler", VERSION, "py3-none-any", {"aetherflow/scheduler/x.py": ""})
    older = wheel_of(folder, "six", "0.1", "py3-none-any", {"six.py": ""})
    more = wheel_of(folder, "acme-files", "1.0", "py3-none-any", {"acme.py": "", "acme.pth": "import sys\n"})
    for wheel in (ours, older, more):
        done = installation.type(f"python -m pip install --no-index --no-deps --force-reinstall {wheel}")
        assert done.returncode == 0, done.stderr
    assert installation.doctor() == (
        1,
        {
            (f"SITE/aetherflow_scheduler-{VERSION}.dist-info", "another"),
            ("ENV/bin/aetherflow-scheduler", "changed"),
            ("SITE/six-0.1.dist-info", "another"),
            ("SITE/acme_files-1.0.dist-info", "not_listed"),
            ("SITE/acme.pth", "at_start"),
        },
    )
    listed = folder / "plugins.txt"
    listed.write_text(f"acme-files==1.0 --hash=sha256:{hashlib.sha256(more.read_bytes()).hexdigest()}\n")
    script = f"{installation.folder}/share/aetherflow/install.py --force-reinstall -r {listed}"
    done = installation.type(f"PIP_FIND_LINKS={folder} python {script}")
    assert done.returncode == 0, done.stderr
    assert installation.doctor() == (0, set()), "a plugin that you name with its hash belongs to it"


def test_what_hides_a_module_on_the_path_is_found(installation: Installation) -> None:
    (installation.scratch / "here").mkdir()
    (installation.scratch / "here/yaml.py").touch()
    (installation.scratch / "other").mkdir()
    code, found = installation.doctor("PYTHONPATH=here:other")
    assert (code, found) == (1, {("HERE/here/yaml.py", "shadowed"), ("HERE/other", "path")})
    current = installation.type("cd here && python -m aetherflow.core doctor --installation --json")
    assert [each["reason_code"] for each in json.loads(current.stdout)["differences"]] == [], "not on the path of -m"
    settings = installation.folder / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("packages = false", "packages = true"))
    assert installation.doctor()[0] == 1


def test_the_text_says_what_to_do_and_that_brings_it_back(installation: Installation) -> None:
    (installation.site / "z z.pth").touch()
    with (installation.site / "six.py").open("a") as file:
        file.write("import os\n")
    done = installation.type("aetherflow doctor --installation")
    again = "ENV/bin/python ENV/share/aetherflow/install.py --force-reinstall"
    (version,) = (path.stem.partition("-")[2] for path in installation.site.glob("six-*"))
    assert (done.returncode, installation.short(done.stdout).splitlines()) == (
        1,
        [
            "FAIL: ENV",
            f"SITE/six.py: was changed since six {version} was installed",
            f"  fix: {again}",
            "SITE/z z.pth: each start of Python runs it",
            "  fix: look at it, and remove it: rm -r 'SITE/z z.pth'",
        ],
    )
    for line in ("rm -r $SITE/'z z.pth'", again.replace("ENV", str(installation.folder))):
        assert installation.type(line).returncode == 0
    assert installation.doctor() == (0, set())


def test_an_installation_without_its_release_says_how_to_get_one(installation: Installation) -> None:
    shutil.rmtree(installation.folder / "share/aetherflow")
    done = installation.type("aetherflow doctor --installation")
    assert (done.returncode, installation.short(done.stdout).splitlines()) == (
        1,
        [
            "FAIL: ENV",
            "ENV/share/aetherflow: no release is kept here, so there is nothing to compare with",
            "  fix: python3 install.py --to ENV  # in the folder of the release",
        ],
    )
    both = installation.type("aetherflow doctor --installation flow.yaml")
    assert (both.returncode, "--installation examines no flow" in both.stderr) == (2, True)
