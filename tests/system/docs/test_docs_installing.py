"""No page installs ours by name: an index may have other distributions of these names. The release's script does it."""

import re

import pytest

import release
from docs_pages import HISTORY, ROOT, name_of, pages

PIP = re.compile(r"\b(?:pip|uv|uvx|pipx) (?:install|download|run|tool)[^`\n]*")
OURS = re.compile(r"(?<![\w./-])aetherflow(?:-core|-scheduler|-builtins-[a-z]+)?(?![\w./-])")
ONE_DAY = 'pip install "aetherflow-core[reports]"'
"""What will do when the names are ours; README and install.md say that it does not yet."""


def by_name(text: str) -> list[str]:
    """The commands of a text that install ours by name."""
    return [found[0] for found in PIP.finditer(text) if OURS.search(found[0]) and found[0] != ONE_DAY]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('pip install "aetherflow-core[duckdb]"', ['pip install "aetherflow-core[duckdb]"']),
        (
            "get it: `pip install --find-links dist aetherflow==1.1.0`.",
            ["pip install --find-links dist aetherflow==1.1.0"],
        ),
        ("uv pip install aetherflow-builtins-db", ["pip install aetherflow-builtins-db"]),
        ("python3 install.py --to /opt/aetherflow postgres", []),
        ("/opt/aetherflow/bin/pip install acme-files", []),
        ("pip install ./dist/aetherflow_core-1.1.0-py3-none-any.whl", []),
    ],
)
def test_an_installation_by_name_is_found(text: str, expected: list[str]) -> None:
    assert by_name(text) == expected


def test_what_users_read_installs_ours_by_the_release_only(tracked: list[str]) -> None:
    shown = {name_of(page) for page in pages() if page != HISTORY}
    shown |= {name for name in tracked if name.startswith(("docs/", "deploy/")) or "/plugin_template/" in name}
    texts = {name: (ROOT / name).read_bytes().decode(errors="replace") for name in sorted(shown & set(tracked))}
    assert {name: wrong for name, text in texts.items() if (wrong := by_name(text))} == {}
    assert sorted(name for name, text in texts.items() if ONE_DAY in text) == ["README.md", "docs/how-to/install.md"]
    assert len([name for name, text in texts.items() if "install.py" in text]) > 9


def test_the_page_lists_every_extra() -> None:
    section = (ROOT / "docs/how-to/install.md").read_text().partition("\n### Extras\n")[2].partition("\n## ")[0]
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`([\w]+)`", row)
    }
    assert listed == release.locks_of(ROOT).keys() - {"aetherflow"}
