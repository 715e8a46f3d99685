"""The archive driver `os`: the programs zip and unzip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field

from aetherflow.core.api import (
    ArchiveInput,
    ArchiveWork,
    ConnectorConfig,
    ExtractRules,
    Flag,
    Holds,
    Packing,
    ProgramTools,
    Unpacked,
)
from aetherflow_builtins_transfer.archives.tools import STDIN_SHELL, run_tool
from aetherflow_builtins_transfer.archives.tree import inspect
from aetherflow_builtins_transfer.archives.unpack import MemberSelection, refusing, survey
from aetherflow_builtins_transfer.connectors.archive.base import (
    ArchiveBase,
    ToolOptions,
    need_program,
    stream,
    workspace,
)

_UTF8 = {"LC_ALL": "C.UTF-8"}  # without it both programs escape non-ASCII names
_LEVELS = {"speed": "-1", "size": "-6"}
Program = Annotated[str, Holds.CODE]


class Config(ConnectorConfig):
    zip_cmd: Program = Field("zip", min_length=1, description="Info-ZIP's zip: a name on PATH, or a path.")
    unzip_cmd: Program = Field("unzip", min_length=1, description="Info-ZIP's unzip: a name on PATH, or a path.")
    quiet: Flag = Field(True, description="Accepted for old flows; output of the programs is shown in errors only.")


class OsConnector(ArchiveBase[Config, ToolOptions]):
    """Zip archives by Info-ZIP's `zip` and `unzip`; prefer `pyzipper`, which is faster and encrypts better.

    `zip` gets names by standard input, so that none is read as an option. A password is passed in the environment, not
    on the command line; the encryption is ZipCrypto, which is weak. The archive is checked before `unzip` runs, the
    unpacked files afterwards. `timestamps: fixed` has no effect: `zip` stores the times of the files.

        resources:
          packing: {kind: archive, driver: os, options: {timeout: 600}}
    """

    FORMATS = ("zip",)

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Run zip on a tree of links to the sources, and copy its archive to the sink."""
        self.only_zip(how)
        program, runner = need_program(self, self.conf.zip_cmd), work.tools
        for source in sources:
            if "\n" in source.name or "\r" in source.name:
                raise self.refuse(f"the name {source.name!r} holds a line break", "use the driver zipfile or pyzipper")
        with workspace() as folder:
            if not sources:  # zip makes no empty archive
                from aetherflow_builtins_transfer.archives.pack import pack

                pack(sink, [], how)
                return
            tree, names, output = folder / "tree", folder / "names", folder / "archive.zip"
            _link(tree, sources)
            lines = sorted(f"{source.name}/" if source.is_dir else source.name for source in sources)
            names.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
            level = "-0" if how.compression == "stored" else _LEVELS[how.optimize]
            argv = [*STDIN_SHELL, str(names), program, "-q", "-X", "-nw", level, "-@", str(output)]
            env = {"ZIPOPT": _option(how.password), "ZIP": "", **_UTF8}
            self._run(runner, argv, tree, env, "zip")
            stream(output, sink, runner)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        """Check the archive, run unzip, and check the unpacked files."""
        expected = {each.name for each in survey(archive, rules) if not each.is_dir}
        with workspace() as folder:
            link = folder / "archive.zip"  # unzip treats brackets and stars in an archive's name as a pattern
            link.symlink_to(archive.absolute())
            argv = [need_program(self, self.conf.unzip_cmd), "-q", "-o", str(link), "-d", str(into)]
            env = {"UNZIP": _option(rules.password), "UNZIPOPT": "", **_UTF8}
            self._run(work.tools, argv, into, env, "unzip")
        with refusing(archive):
            found = inspect(into, archive.stat().st_size, rules)
        if expected != {each.name for each in found if not each.is_dir}:
            raise self.refuse(f"unzip did not unpack what {archive.name} lists", "use the driver pyzipper")
        with refusing(archive):
            return _only_wanted(found, into, rules)

    def probe(self) -> None:
        need_program(self, self.conf.zip_cmd)
        need_program(self, self.conf.unzip_cmd)

    def _run(self, tools: ProgramTools, argv: list[str], cwd: Path, env: dict[str, str], name: str) -> None:
        run_tool(tools, argv, cwd=cwd, env=env, timeout=self.opts.timeout, name=name)


def _link(tree: Path, sources: Sequence[ArchiveInput]) -> None:
    """Create a folder with links to the sources under their names in the archive; zip follows links."""
    tree.mkdir()
    for source in sources:
        place = tree / source.name
        if source.is_dir:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source.path)


def _only_wanted(found: list[Unpacked], into: Path, rules: ExtractRules) -> list[Unpacked]:
    """Delete unwanted members and return the others; unzip got no names, because it treats them as patterns."""
    wanted = MemberSelection(rules.members)
    kept = [each for each in found if wanted.has(each.name)]
    wanted.check()
    for each in set(found) - set(kept):
        if not each.is_dir:
            (into / each.name).unlink()
    return kept


def _option(password: str | None) -> str:
    """The value for the environment variable of Info-ZIP's programs, which is parsed like a command line."""
    if password is None:
        return ""
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    return f'-P "{escaped}"'
