import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aetherflow.core.api import (
    ArchiveInput,
    ArchiveWork,
    ConnectorConfig,
    ExtractRules,
    Holds,
    Packing,
    ProgramTools,
    Unpacked,
)
from aetherflow_builtins_transfer.archives.failures import RefusedMemberError
from aetherflow_builtins_transfer.archives.tools import run_tool
from aetherflow_builtins_transfer.archives.tree import inspect, size_below
from aetherflow_builtins_transfer.archives.unpack import refusing
from aetherflow_builtins_transfer.connectors.archive.base import (
    ArchiveBase,
    ToolOptions,
    need_program,
    stream,
    workspace,
)
from aetherflow_builtins_transfer.connectors.archive.os import _link

PASSWORD_VARIABLE = "AETHERFLOW_ARCHIVE_PASSWORD"  # noqa: S105 a name
_MAX_ARGUMENT_BYTES = 100_000
_STDIN = ("/bin/sh", "-c", f'printf "%s\\n%s\\n" "${PASSWORD_VARIABLE}" "${PASSWORD_VARIABLE}" | "$0" "$@"')
"""Passes the password twice, for programs that ask again. printf is a shell builtin, so no process list shows it."""
_KNOWN = {
    "zip_cmd": {"archive", "base_dir", "files", "list"},
    "unzip_cmd": {"archive", "dest"},
}


def _no_password(command: list[str]) -> list[str]:
    if any("{password}" in part for part in command):
        raise ValueError(
            "{password} on a command line is seen by everybody; the program gets it by password_by: env or stdin"
        )
    return command


Command = Annotated[list[str], Field(min_length=1), AfterValidator(_no_password), Holds.CODE]


class Config(ConnectorConfig):
    zip_cmd: Command | None = Field(
        None,
        description="Makes an archive, run in `{base_dir}`: program and arguments with `{archive}`, and `{files}` as "
        "an item of its own (one argument per file, each begins with `./`) or `{list}` (a file with a name per line).",
    )
    unzip_cmd: Command | None = Field(
        None, description="Unpacks: program and arguments with `{archive}` and `{dest}`, an empty folder."
    )
    password_by: Literal["env", "stdin"] = Field(
        "env",
        description=f"How the program gets a password: in the environment variable `{PASSWORD_VARIABLE}`, or as a line "
        "of its standard input.",
    )

    @model_validator(mode="after")
    def _known_placeholders(self) -> Self:
        if self.zip_cmd is None and self.unzip_cmd is None:
            raise ValueError("give zip_cmd, unzip_cmd or both")
        for key, known in _KNOWN.items():
            for name in re.findall(r"\{(\w+)\}", " ".join(getattr(self, key) or ())):
                if name not in known:
                    raise ValueError(f"{key}: {{{name}}} is unknown; known: {', '.join(sorted(known))}")
        return self


class ExternalConnector(ArchiveBase[Config, ToolOptions]):
    """Archives by a program of your choice, for formats that the other drivers do not have.

    The unpacked size is checked while the program runs, and all files before they are used: links, devices and exceeded
    limits are refused.

        resources:
          seven:
            kind: archive
            driver: external
            config:
              zip_cmd: [7z, a, -t7z, -p, -mhe=on, "{archive}", "@{list}"]
              unzip_cmd: [7z, x, "-o{dest}", "{archive}"]
              password_by: stdin
    """

    def create(self, sink: BinaryIO, sources: Sequence[ArchiveInput], how: Packing, work: ArchiveWork) -> None:
        """Run `zip_cmd` on a tree of links to the sources, and copy its archive to the sink."""
        if self.conf.zip_cmd is None:
            raise self.refuse("it has no zip_cmd", "add config.zip_cmd")
        runner = work.tools
        with workspace() as folder:
            tree, output, names = folder / "tree", folder / "archive", folder / "names"
            _link(tree, sources)
            lines = sorted(source.name for source in sources)
            if any("\n" in line for line in lines):
                raise self.refuse("a file's name holds a line break", "use the driver zipfile or pyzipper")
            names.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
            values = {"archive": str(output), "base_dir": str(tree), "list": str(names)}
            argv = self._argv(self.conf.zip_cmd, values, [f"./{line}" for line in lines])
            self._run(runner, argv, tree, how.password)
            made = [path for path in folder.glob("archive*") if path.is_file()]  # some programs add a suffix
            if len(made) != 1:
                raise self.refuse("the program ended well but wrote no {archive}", "look at config.zip_cmd")
            stream(made[0], sink, runner)

    def extract(self, archive: Path, into: Path, rules: ExtractRules, work: ArchiveWork) -> list[Unpacked]:
        """Run `unzip_cmd`, limit its total size while it runs, and check the unpacked files."""
        if self.conf.unzip_cmd is None:
            raise self.refuse("it has no unzip_cmd", "add config.unzip_cmd")
        if rules.members is not None:
            raise self.refuse("it unpacks whole archives only", "leave `members` out, or use the driver pyzipper")
        values = {"archive": str(archive.absolute()), "dest": str(into)}
        argv = self._argv(self.conf.unzip_cmd, values, [])
        packed = archive.stat().st_size

        def watch() -> None:
            if size_below(into) > rules.limits.max_total_bytes:
                raise RefusedMemberError(
                    f"it unpacks to more than {rules.limits.max_total_bytes:,} bytes",
                    "raise max_total_bytes if it may be that large",
                )

        with refusing(archive):
            self._run(work.tools, argv, into, rules.password, watch)
            return inspect(into, packed, rules)

    def probe(self) -> None:
        for command in (self.conf.zip_cmd, self.conf.unzip_cmd):
            if command:
                need_program(self, command[0])

    def _argv(self, command: Sequence[str], values: dict[str, str], files: Sequence[str]) -> list[str]:
        argv = [need_program(self, command[0])]
        for part in command[1:]:
            if part == "{files}":
                argv += files
                continue
            argv.append(re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), part))
        if sum(len(part.encode("utf-8", "surrogateescape")) for part in argv) > _MAX_ARGUMENT_BYTES:
            raise self.refuse("too many files for one command line", "use {list} in place of {files}")
        return argv

    def _run(self, tools: ProgramTools, argv: list[str], cwd: Path, password: str | None, watch: object = None) -> None:
        name = Path(argv[0]).name
        env: dict[str, str] = {}
        if password is not None:
            env[PASSWORD_VARIABLE] = password
            if self.conf.password_by == "stdin":  # noqa: S105 not a password
                argv = [*_STDIN, *argv]
        run_tool(
            tools, argv, cwd=cwd, env=env, timeout=self.opts.timeout, name=name,
            watch=watch if callable(watch) else lambda: None,
        )  # fmt: skip
