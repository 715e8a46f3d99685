"""The pages as a program reads them: their blocks, the commands they show, and what the program prints today.

A page marks a block with a comment on the line above it:

    <!-- file: flow.yaml -->   the block is a file of that name for the commands that follow on the page
    <!-- fragment -->          a piece of a flow: steps, jobs, or one of its sections
    <!-- wrong -->             a document that `validate` refuses; a text block that follows is its answer
    <!-- warning -->           a document that `validate` accepts with a warning; likewise

Commands of a page run one after the other in one empty folder, on a terminal, and are compared with what the page
shows. Paths, times and ids differ from run to run and are compared in a neutral form; a line `...` stands for any
lines.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from aetherflow.core.cli import main

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "CHANGELOG.md"
"""What was true of an older version stays there."""
FIRST_HOUR = ROOT / "docs/how-to/first-connector.md"
"""The one page that installs something: tests/system/packaging/test_first_connector.py runs it, in an environment."""
HOME = "/home/you/flows"
"""What pages show for the folder that their commands run in."""
SYSTEM = ("/tmp/", "/var/lib/aetherflow")
"""Folders of the machine that pages name; their commands have others, in their own folder."""
ELISION = "..."

_ASSETS = re.compile(r"\b(?:template_path|sql_file|html_file|text_file|ca_file): ([\w./-]+)")
"""Files that inputs and settings of a fragment name."""
_INNER = re.compile(r"flow: (\w+\.yaml)\n +params: \{(\w+):[^\0]*?result\.jobs\.(\w+)\.outputs\.(\w+)")
"""The flow that a fragment runs, its parameter, its job and what that job gives."""
_FENCE = re.compile(r"```(\w*)\s*$")
_MARK = re.compile(r"<!-- (file: (?P<file>\S+)|fragment|wrong|warning)(, (?P<also>wrong))? -->$")


def pages() -> list[Path]:
    """All pages: README and CONTRIBUTING at the top, docs/, the distributions' READMEs."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("aetherflow-*/README.md")])


def version() -> str:
    """The version that all distributions share, as the sources have it."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, its mark, and the lines of the page between which the text stands."""

    page: Path
    language: str
    text: str
    first: int
    last: int
    file: str | None = None
    fragment: bool = False
    wrong: bool = False
    warning: bool = False

    @property
    def label(self) -> str:
        """`docs/page.md:12`, for test ids and messages."""
        return f"{name_of(self.page)}:{self.first}"

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Commands of a console block with the lines that follow each; of a bash block, its lines."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.split("\n"):
            if self.language == "bash":
                if line.strip() and not line.startswith("#"):
                    found.append((line.strip(), []))
            elif line.startswith("$ "):
                found.append((line[2:], []))
            elif found:
                found[-1][1].append(line)
        return found


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, those of some languages if any are named."""
    found = _all_blocks(page, page.read_text(encoding="utf-8"))
    return [block for block in found if not languages or block.language in languages]


@cache
def _all_blocks(page: Path, text: str) -> tuple[Block, ...]:
    return tuple(_blocks(page, text.split("\n")))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    opened: int | None = None
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if fence is None or (opened is not None and fence[1]):
            continue
        if opened is None:
            opened = number
            continue
        language = (_FENCE.match(lines[opened - 1]) or fence)[1]
        mark = _MARK.match(lines[opened - 2]) if opened > 1 else None
        text = "\n".join(lines[opened : number - 1])
        named, kind = (mark["file"], f"{mark[1]} {mark['also']}") if mark else (None, "")
        place = (page, language, text, opened + 1, number - 1)
        yield Block(*place, named, "fragment" in kind, "wrong" in kind, "warning" in kind)
        opened = None
    assert opened is None, f"{page}:{opened}: the block is never closed"


# Running what a page shows


@dataclass
class Sandbox:
    """The folder that a page's commands run in."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    programs: Path = Path(sys.executable).parent
    """Where `aetherflow` is found first."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """What stands in files and commands for a text of the page, such as a port that is free here."""

    def write(self, name: str, text: str) -> None:
        """Write a file of the page."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._real(text) + "\n", encoding="utf-8")
        path.chmod(0o644)  # whatever the umask: a project file that others may write is refused

    def run(self, command: str) -> tuple[int, str]:
        """Run a command on a terminal; exit code and what a person would read there."""
        terminal, process_side = os.openpty()
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AETHERFLOW_", "XDG_"))}
        env |= {
            "HOME": str(self.folder),
            "PATH": f"{self.programs}:{Path(sys.executable).parent}:{env['PATH']}",
            "COLUMNS": "100",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            **self.variables,
        }
        process = subprocess.Popen(
            ["bash", "-c", self._real(command)],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=process_side,
            stderr=process_side,
        )
        os.close(process_side)
        seen = b"".join(iter(lambda: _read(terminal), b""))
        os.close(terminal)
        return process.wait(), self._shown(_as_displayed(seen.decode()))

    def _real(self, text: str) -> str:
        for shown, real in self.instead.items():
            text = text.replace(shown, real)
        for shown in SYSTEM:
            text = text.replace(shown, f"{self.folder}{shown}")
        return text.replace(HOME, str(self.folder))

    def _shown(self, text: str) -> str:
        for shown in SYSTEM:
            text = text.replace(f"{self.folder}{shown}", shown)
        return text.replace(str(self.folder), HOME)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux answers so once the last process has closed its side
        return b""


def _as_displayed(text: str) -> str:
    """What stays on the screen: a line that was redrawn in place counts as it was drawn last."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rsplit("\r\x1b[2K", 1)[-1].rstrip() for line in lines).rstrip("\n")


_NEUTRAL = [
    (re.compile(pattern), neutral)
    for pattern, neutral in (
        (r"\b[0-9a-f]{64}\b", "SHA256"),
        (r"\b[0-9a-f]{12}\b", "RUN_ID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?", "TIME"),
        (r"\b\d+\.\d+ s\b", "SECONDS"),
        (r"\b\d+ passed in \d+\.\d+s", "PASSED"),
        (r"\b[\d,.]+ (rows|MB)/s", r"SPEED \1/s"),
        (r'("?(duration_ms|ts_ms|finished_at|started_at)"?[:=] ?)\d+', r"\1MS"),
        (r"\bpid \d+ on [\w.-]+", "pid PID on HOST"),
        (r"(?m)^(logs +)[\d.]+ KiB$", r"\1KIB"),  # durations have more or fewer digits
        (r"(?m)^(bash: line \d+:) +\d+ ", r"\1 PID "),
        (r"(?m)^\w{3} \d\d \w{3} \d\d:\d\d \w+( \(\d\d:\d\dZ\))?", "NOW"),
        (r"(\w{3} \d\d \w{3} )?\d\d:\d\d, \d+ (s|min)( \d+ min)? ago", "AGO"),
        (r"(?m)^(\S+ +idle .*)\b\w{3} \d{4}-\d\d-\d\d (?=\d\d:\d\d)", r"\1DAY "),  # the next slot of an item
        (r"(?m)^(main\.read \| )20\d\d$", r"\1YEAR"),
        (r'"0 1 25-[\d,-]+ 3 \*"', '"0 1 DAYS 3 *"'),  # of the changes of the clock in ten years from now
        (r"\backs? by \S+ until (\w{3} \d\d \w{3} )?\d\d:\d\d", "ack by ACTOR until TIME"),
        (r"\b(held until TIME|skipped) by \S+:", r"\1 by ACTOR:"),
        (r"\bactor=\S+ host=\S+", "actor=ACTOR host=HOST"),
        (r"  +", "  "),
    )
]


def neutral(text: str) -> list[str]:
    """The lines of an output without what differs from run to run."""
    for pattern, replacement in _NEUTRAL:
        text = pattern.sub(replacement, text)
    return [line.strip() for line in text.strip("\n").split("\n")]


def same_output(shown: str, real: str) -> bool:
    """Whether a page shows what was printed; a line `...` stands for any number of lines."""
    pattern = "".join(r"(?:.*\n)*?" if line == ELISION else re.escape(line) + r"\n" for line in neutral(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in neutral(real))) is not None


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that a page shows, and what became of it."""

    block: Block
    command: str
    shown: str
    code: int
    printed: str

    @property
    def agrees(self) -> bool:
        """Whether the page tells the truth; a bash block shows no output, so there the exit code counts."""
        return self.code == 0 if self.block.language == "bash" else same_output(self.shown, self.printed)


NOT_RUN = {
    r"python3 (dist/)?install\.py .*": "needs a release; tests/system/packaging/test_hostile_index.py types it",
    r"make [a-z-]+": "makes and uses an environment of its own; some targets run this very test",
}
"""Commands in bash blocks that a test checks by other means, and why it does not run them."""


def is_run(block: Block, command: str) -> bool:
    """Whether a command is executed; every command of a console block is, since its output is shown."""
    return block.language == "console" or not any(re.fullmatch(pattern, command) for pattern in NOT_RUN)


def run_page(page: Path, sandbox: Sandbox, after: Callable[[Ran], None] = lambda ran: None) -> list[Ran]:
    """Run a page's commands in order; `after` each, its result is given to that."""
    ran = []
    for block in blocks(page):
        if block.file is not None:
            sandbox.write(block.file, block.text)
        if block.language not in ("bash", "console"):
            continue
        for command, lines in block.commands:
            if is_run(block, command):
                ran.append(Ran(block, command, "\n".join(lines).rstrip("\n"), *sandbox.run(command)))
                after(ran[-1])
    return ran


# Flows


def whole_flow(fragment: str) -> str:
    """A flow around a piece of one: a list of steps, a list of jobs, or top-level sections."""
    head = "version: 1\nflow: {id: page}\n"
    resources = "resources:\n  warehouse: {kind: db, driver: duckdb}\n  shop: {kind: db, driver: sqlite3}\n"
    for name in ("api", "channel"):
        resources += f"  {name}: {{kind: rest, driver: httpx, config: {{base_url: 'https://{name}.example.com'}}}}\n"
    resources += "  post: {kind: mail, driver: file}\n"
    resources += "  partner: {kind: sftp, driver: local, config: {root: partner}}\n"
    resources += "  finance: {kind: smb, driver: local, config: {root: finance, share: data}}\n"
    earlier = "- id: extract\n  steps: []\n"
    if re.match(r"- id: \w+\n(  #.*\n)*  (type|description)", fragment):
        steps = "".join(map(_earlier_step, _read_steps(fragment).items())) + fragment
        return head + resources + "jobs:\n" + _indent(earlier + "- id: page\n  steps:\n" + _indent(steps, 4), 2)
    if fragment.startswith("- "):
        return head + resources + "jobs:\n" + _indent(earlier + fragment, 2)
    sections = set(re.findall(r"^(\w+):", fragment, re.MULTILINE))
    text = "" if "flow" in sections else head
    text += "" if "resources" in sections else resources
    text += "" if "jobs" in sections else "jobs: []\n"
    return text + fragment + "\n"


def _read_steps(fragment: str) -> dict[str, str]:
    """The steps that a piece reads from and does not have, each with the output that it reads."""
    own = set(re.findall(r"^- (?:id: |{id: )(\w+)", fragment, re.MULTILINE))
    return {name: output for name, output in re.findall(r"{{steps\.(\w+)\.(\w+)", fragment) if name not in own}


def _earlier_step(read: tuple[str, str]) -> str:
    kind, extra = ("db_extract", ", output: rows.csv") if read[1] == "artifact_path" else ("db_fetch_small", "")
    return f"- {{id: {read[0]}, type: {kind}, inputs: {{resource: shop, sql: SELECT 1{extra}}}}}\n"


def _indent(text: str, width: int) -> str:
    return "\n".join(" " * width + line if line else line for line in text.split("\n")) + "\n"


def validate_block(block: Block) -> tuple[int, str]:
    """Exit code and output of `aetherflow validate` for a block, beside the files that its page shows.

    Documents count from above it only; the files that a fragment names are made, empty.
    """
    named = [each for each in blocks(block.page) if each.file is not None]
    above = [each for each in named if each.first < block.first or each.language != "yaml"]
    text = whole_flow(block.text) if block.fragment else block.text
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder).resolve())
        for each in above:
            sandbox.write(each.file or "", each.text)
        if block.fragment:
            for name in _ASSETS.findall(text):
                sandbox.write(name, "")
            for name, param, job, output in _INNER.findall(text):
                step = f"{{id: s, type: check_items, inputs: {{items: []}}, outputs: {{{output}: x}}}}"
                head = f"version: 1\nflow: {{id: inner, params: {{{param}: {{}}}}}}\n"
                sandbox.write(name, f"{head}jobs: [{{id: {job}, steps: [{step}]}}]")
        sandbox.write(shown_name(block), text)
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            code = main(["validate", shown_name(block)])
    return code, printed.getvalue().rstrip("\n")


def shown_name(block: Block) -> str:
    """The name under which a block is validated."""
    return block.file or "flow.yaml"
