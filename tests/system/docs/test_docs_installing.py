"""Every command that installs ours names the version: older, unrelated distributions of the same names exist."""

import re
import shlex

import pytest

from docs_pages import HISTORY, ROOT, name_of, pages, version, with_pins

COMMAND = re.compile(r"pip install ([^`\n]*)")
REQUIREMENT = re.compile(r"(?P<name>aetherflow(-[a-z]+)*)(?P<extras>\[[\w,]+\])?(?P<bound>.*)")
NAMES = {"aetherflow", *(path.parent.name for path in ROOT.glob("aetherflow-*/pyproject.toml"))}


def shown(tracked: list[str]) -> list[str]:
    """What users read: the pages, the examples, and what `plugins new` writes."""
    found = {name_of(page) for page in pages() if page != HISTORY}
    found |= {name for name in tracked if name.startswith("docs/") or "/plugin_template/" in name}
    return sorted(found & set(tracked))


def text_of(name: str) -> str:
    return (ROOT / name).read_bytes().decode(errors="replace")


def unbounded(text: str) -> list[str]:
    """Our distributions that commands, or names with extras, have without today's version."""
    wrong = []
    for command in COMMAND.findall(text):
        for argument in shlex.split(command.replace("'", "").rstrip("\\"), comments=True):
            found = REQUIREMENT.fullmatch(argument)
            if found and found["name"] in NAMES and found["bound"] != f"=={version()}":
                wrong.append(argument)
    pinned = re.compile(rf"=={re.escape(version())}(?![\w.]*\w)")
    with_extras = re.finditer(r"\baetherflow(-[a-z]+)*\[[\w,]+\]", text)
    wrong += [found[0] for found in with_extras if not pinned.match(text, found.end())]
    return sorted(set(wrong))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('pip install "aetherflow-core[duckdb]"', ["aetherflow-core[duckdb]"]),
        ('pip install --find-links dist "aetherflow>=0.1" x', ["aetherflow>=0.1"]),
        ("get it: `pip install aetherflow-core`.", ["aetherflow-core"]),
        ("| DuckDB | `aetherflow-core[duckdb]` |", ["aetherflow-core[duckdb]"]),
        (
            f'pip install "aetherflow-core[duckdb]=={version()}.1"',
            ["aetherflow-core[duckdb]", f"aetherflow-core[duckdb]=={version()}.1"],
        ),
        (f'pip install "aetherflow-core[duckdb]=={version()}" "aetherflow-scheduler=={version()}"', []),
        ("pip install acme-files", []),
    ],
)
def test_an_open_version_is_found(text: str, expected: list[str]) -> None:
    assert unbounded(text) == expected


def test_commands_name_the_version(tracked: list[str]) -> None:
    files = shown(tracked)
    assert len([name for name in files if COMMAND.search(text_of(name))]) > 20
    assert {name: wrong for name in files if (wrong := unbounded(text_of(name)))} == {}, (
        "an older distribution of that name may be installed instead"
    )


def test_the_version_is_that_of_the_sources(tracked: list[str]) -> None:
    stale = [name for name in shown(tracked) if with_pins(text := text_of(name)) != text]
    assert stale == [], "python tests/docs/refresh.py brings pages to the version of pyproject.toml"


def test_a_raised_version_makes_the_pages_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docs_pages.version", lambda: "1.1.0rc1")
    assert with_pins('pip install "aetherflow==1.0.0" "aetherflow-core[sftp,zip]==1.0.0".') == (
        'pip install "aetherflow==1.1.0rc1" "aetherflow-core[sftp,zip]==1.1.0rc1".'
    )
    assert with_pins("`aetherflow-core[sftp]==1.0.0`. acme==1.0.0") == "`aetherflow-core[sftp]==1.1.0rc1`. acme==1.0.0"
