"""The suite for the contract of a connector of kind `archive`."""

import io
import os
import stat
import subprocess
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import pytest

from aetherflow.core.api import ArchiveConnector, ArchiveInput, ConnectorError, ExtractRules, Packing, list_steps
from aetherflow.core.testing.connector import ConnectorSuite
from aetherflow.core.testing.crash_runs import artifacts, files_below
from aetherflow.core.testing.project import FLOW_ID, FlowProject

CONTENT: Mapping[str, bytes] = {
    "a.csv": b"a,b\n1,2\n", "deep/er/b.bin": bytes(range(256)) * 50, "empty.txt": b"", "with blank ü.txt": b"x",
    "-dash": b"-", "per%20cent": b"%",
}  # fmt: skip
LONG_AGO = 1_000_000_000


@dataclass(frozen=True)
class SuiteLimits:
    """The limits of the tests."""

    max_members: int = 100
    max_total_bytes: int = 10_000_000
    max_ratio: float = 200.0


class SuiteTools:
    """Starts programs without a run."""

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()

    def check(self) -> None:
        return None

    def environment(self) -> Mapping[str, str]:
        return os.environ


@dataclass(frozen=True)
class SuiteWork:
    """The hooks of `ArchiveWork`, outside of any run."""

    tick: Callable[[int], None] = lambda _done: None
    tools: SuiteTools = field(default_factory=SuiteTools)


class ArchiveSuite(ConnectorSuite):
    """Tests the contract of ArchiveConnector, and runs `zip` and `unzip` over the connector."""

    password: ClassVar[str | None] = None
    """A password that archives are made with, for drivers that always or only encrypt; None: without."""
    extracts: ClassVar[bool] = True
    """False for a driver that only packs."""
    fixed_times: ClassVar[bool] = True
    """False for a driver that stores the times of files, whatever the setting says."""
    test_probe_says_what_is_wrong = None  # type: ignore[assignment]  # a driver without a peer is always reached

    def config(self, place: Path) -> dict[str, Any]:
        """Most drivers have no settings."""
        del place
        return {}

    def sources(self, place: Path, content: Mapping[str, bytes] = CONTENT) -> list[ArchiveInput]:
        """Files in a folder of this test."""
        found = []
        for name, data in content.items():
            path = place / "given" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            found.append(ArchiveInput(str(path), name))
        return found

    def packed(self, peer: Any, place: Path, sources: Sequence[ArchiveInput] | None = None, **how: Any) -> Path:
        """An archive that the connector has made."""
        path = place / "made.zip"
        given = self.sources(place) if sources is None else sources
        with path.open("wb") as sink:
            peer.create(cast(BinaryIO, sink), given, Packing(password=self.password, **how), SuiteWork())
        return path

    def rules(self, **given: Any) -> ExtractRules:
        return ExtractRules(SuiteLimits(), **{"password": self.password, **given})

    @pytest.fixture
    def into(self, place: Path) -> Path:
        """An empty folder to unpack to."""
        folder = place / "into"
        folder.mkdir()
        return folder

    def test_it_implements_the_contract(self) -> None:
        """The class is an ArchiveConnector and has written `create` and `extract`."""
        assert issubclass(self.connector, ArchiveConnector)
        assert sorted(self.connector.__abstractmethods__) == []

    def test_what_is_packed_is_unpacked(self, peer: Any, place: Path, into: Path) -> None:
        """Names and bytes come back; the result names every file with its size."""
        made = self.packed(peer, place)
        if not self.extracts:
            return
        found = peer.extract(made, into, self.rules(), SuiteWork())
        assert files_below(into) == dict(CONTENT)
        sizes = {each.name.as_posix(): each.size for each in found if not each.is_dir}
        assert sizes == {name: len(data) for name, data in CONTENT.items()}
        assert all(stat.S_ISREG(path.lstat().st_mode) for path in into.rglob("*") if not path.is_dir())

    def test_empty_folders_are_packed(self, peer: Any, place: Path, into: Path) -> None:
        """A source may be an empty folder."""
        (place / "given/empty").mkdir(parents=True)
        folder = ArchiveInput(str(place / "given/empty"), "empty", is_dir=True)
        made = self.packed(peer, place, [*self.sources(place), folder])
        if self.extracts:
            found = peer.extract(made, into, self.rules(), SuiteWork())
            assert (into / "empty").is_dir()
            assert [each.name.as_posix() for each in found if each.is_dir and each.name.as_posix() == "empty"]
            assert files_below(into) == dict(CONTENT)

    def test_times_are_kept_when_asked(self, peer: Any, place: Path) -> None:
        """`keep_times`; otherwise equal files of other times give equal archives, unless they are encrypted."""
        sources = self.sources(place, {"a.txt": b"a"})
        years, contents = [], []
        for keep in (True, False):
            os.utime(sources[0].path, (LONG_AGO, LONG_AGO))
            made = self.packed(peer, place, sources, keep_times=keep)
            contents.append(made.read_bytes())
            if zipfile.is_zipfile(made):
                with zipfile.ZipFile(made) as found:
                    years.append(found.infolist()[0].date_time[0])
        os.utime(sources[0].path, (2 * LONG_AGO - LONG_AGO // 2, LONG_AGO // 2))
        if self.password is None and self.fixed_times:
            assert self.packed(peer, place, sources).read_bytes() == contents[1], "another time, another archive"
        assert years[:1] in ([], [2001])
        assert not self.fixed_times or years[1:] != [2001]

    def test_a_password_protects_the_content(self, peer: Any, place: Path, into: Path) -> None:
        """Without it, or with another one, nothing is unpacked."""
        if self.password is None or not self.extracts:
            return
        made = self.packed(peer, place)
        for number, wrong in enumerate((None, f"not {self.password}")):
            (into / f"{number}").mkdir()
            with pytest.raises(ConnectorError):
                peer.extract(made, into / f"{number}", self.rules(password=wrong), SuiteWork())

    def test_other_programs_read_it(self, peer: Any, place: Path) -> None:
        """A zip archive without a password is read by Python's own module."""
        if self.password is None and "zip" in peer.FORMATS:
            with zipfile.ZipFile(self.packed(peer, place)) as found:
                read = {name: found.read(name) for name in found.namelist() if not name.endswith("/")}
            assert len(read) == len(CONTENT)
            plain = {name: data for name, data in CONTENT.items() if name.isascii()}  # others have several spellings
            assert {name: data for name, data in read.items() if name.isascii()} == plain

    def test_members_can_be_chosen(self, peer: Any, place: Path, into: Path) -> None:
        """`members` holds names and patterns; the result names only those."""
        made = self.packed(peer, place)
        if self.extracts:
            found = peer.extract(made, into, self.rules(members=["a.csv", "deep/*"]), SuiteWork())
            assert sorted(each.name.as_posix() for each in found if not each.is_dir) == ["a.csv", "deep/er/b.bin"]

    @pytest.mark.parametrize("limit", [{"max_members": 2}, {"max_total_bytes": 1000}])
    def test_limits(self, peer: Any, place: Path, into: Path, limit: dict[str, int]) -> None:
        """An exceeded limit is an error."""
        made = self.packed(peer, place)
        if self.extracts:
            rules = ExtractRules(SuiteLimits(**limit), self.password)
            with pytest.raises(ConnectorError):
                peer.extract(made, into, rules, SuiteWork())

    def test_a_bomb_is_refused(self, peer: Any, place: Path, into: Path) -> None:
        """More than `max_ratio` times the archive's own size."""
        made = self.packed(peer, place, self.sources(place, {"zeros": bytes(3_000_000)}))
        if self.extracts:
            with pytest.raises(ConnectorError):
                peer.extract(made, into, self.rules(), SuiteWork())

    @pytest.mark.parametrize("name", ["../out.txt", "{place}/out.txt", "a/../../out.txt"])
    def test_nothing_leaves_the_folder(self, peer: Any, place: Path, into: Path, name: str) -> None:
        """A member with `..` or an absolute path is refused, or stays inside."""
        if not self.extracts:
            return
        made = place / "evil.zip"
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("good.txt", "x")
            archive.writestr(name.format(place=place), "evil")
        with pytest.raises(ConnectorError):
            peer.extract(made, into, self.rules(password=None), SuiteWork())
        assert not (place / "out.txt").exists()

    def test_links_are_refused(self, peer: Any, place: Path, into: Path) -> None:
        """A symbolic link in an archive is an error, and leads nowhere."""
        if not self.extracts:
            return
        made = place / "link.zip"
        with zipfile.ZipFile(made, "w") as archive:
            link = zipfile.ZipInfo("link")
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        with pytest.raises(ConnectorError):
            peer.extract(made, into, self.rules(password=None), SuiteWork())

    @pytest.mark.parametrize("damage", ["cut", "changed", "none"])
    def test_a_damaged_archive_is_an_error(self, peer: Any, place: Path, into: Path, damage: str) -> None:
        """Half an archive, one with another byte in its content, and a file that is none: a ConnectorError."""
        data = self.packed(peer, place, compression="stored").read_bytes()
        if not self.extracts:
            return
        wrong = place / "wrong.zip"
        half = len(data) // 2  # in the content of the largest file
        changed = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        wrong.write_bytes({"cut": data[:half], "changed": changed, "none": b"hello " * 100}[damage])
        with pytest.raises(ConnectorError) as caught:
            peer.extract(wrong, into, self.rules(), SuiteWork())
        assert "\n" not in str(caught.value)

    def test_a_stop_goes_through(self, peer: Any, place: Path) -> None:
        """What a hook raises is not turned into another error."""

        class StoppedError(Exception):
            pass

        class Stopping(SuiteTools):
            def check(self) -> None:
                raise StoppedError

        def stop(_done: int) -> None:
            raise StoppedError

        large = {"large.bin": os.urandom(3_000_000)}
        with pytest.raises(StoppedError):
            peer.create(
                io.BytesIO(), self.sources(place, large), Packing(password=self.password), SuiteWork(stop, Stopping())
            )

    def test_the_built_in_steps(self, place: Path, tmp_path: Path) -> None:
        """`zip` and then `unzip`, and a second `unzip` that keeps what is there."""
        if {"zip", "unzip"} - set(list_steps()):
            pytest.skip("the built-in steps of archives are not installed: aetherflow-core[zip]")
        project = FlowProject(tmp_path / "flows")
        folder = project.work / FLOW_ID / "given"
        for name, data in CONTENT.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        secret = {"password": self.password} if self.password else {}
        where = {"resource": "peer", **secret}
        steps: list[dict[str, Any]] = [
            {"id": "pack", "type": "zip", "inputs": where | {"items": [str(folder)], "src_dir": str(folder),
                                                           "dest_path": "made.zip"}},
        ]  # fmt: skip
        if self.extracts:
            inputs = {"archives": "made.zip", "dest_dir": "out", "overwrite": False}
            steps += [{"id": f"unpack{number}", "type": "unzip", "inputs": where | inputs} for number in range(2)]
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip
        project.flow(*steps, resources={"peer": resource})
        ran = project.run()
        assert ran.status == "SUCCESS", ran.error
        assert ran["pack"].outputs["count"] == len(CONTENT)
        if self.extracts:
            assert [ran[f"unpack{number}"].outputs["count"] for number in range(2)] == [len(CONTENT), 0]
            (unzipped,) = ran["unpack0"].outputs["unzipped"]
            assert files_below(Path(unzipped["dest_dir"])) == dict(CONTENT)

    def test_the_built_in_steps_survive_a_kill(self, place: Path, tmp_path: Path) -> None:
        """Killed around the calls of the connector and run again, `zip` and `unzip` leave the same files."""
        secret = {"password": self.password} if self.password else {}
        resource = {"kind": self.kind, "driver": self.driver, "config": self.config(place),
                    "options": self.options(place)}  # fmt: skip

        def arrange(project: FlowProject) -> None:
            folder = project.work / FLOW_ID / "given"
            self.sources(project.work / FLOW_ID)
            where = {"resource": "peer", **secret}
            given = {"items": [str(folder)], "src_dir": str(folder), "dest_path": "made.zip"}
            steps = [{"id": "pack", "type": "zip", "inputs": where | given}]
            if self.extracts:
                steps.append({"id": "unpack", "type": "unzip",
                              "inputs": where | {"archives": "made.zip", "dest_dir": "out"}})  # fmt: skip
            project.flow(*steps, resources={"peer": resource})

        def effects(project: FlowProject) -> Any:
            found = files_below(artifacts(project))
            return found.pop("made.zip", b"") != b"", found  # equal files need not make equal archives

        self.kill_and_run_again(tmp_path / "kills", arrange, effects, methods=("create", "extract"))
