import re
from functools import cache
from pathlib import Path

import pytest

from docs_pages import ROOT, name_of, pages
from docs_site import DOCS, menu, pages_of

READING_PATH = [
    "index.md",
    "00-overview.md",
    "01-quickstart.md",
    "02-architecture.md",
    "10-flow-yaml-guide.md",
    "23-builtins-catalog.md",
    "93-flow-in-15-minutes.md",
    "404-Failure-Recovery-Playbook.md",
]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@cache
def text_of(page: Path) -> str:
    """A page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE):
        base, count = slug(heading), 0
        while (name := f"{base}-{count}" if count else base) in found:
            count += 1
        found.append(name)
    return set(found)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_and_anchors_resolve(page: Path) -> None:
    broken = []
    for link in LINK.findall(text_of(page)):
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(ROOT)
        if not inside or not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_pages_have_the_promised_names() -> None:
    assert [name for name in READING_PATH if not (ROOT / "docs" / name).is_file()] == []


def test_readme_and_index_link_every_page_of_the_reading_path() -> None:
    readme = LINK.findall(text_of(ROOT / "README.md"))
    index = LINK.findall(text_of(ROOT / "docs/index.md"))
    assert [name for name in READING_PATH if f"docs/{name}" not in readme] == []
    assert [name for name in READING_PATH[1:] if name not in index] == []


def test_every_page_of_docs_is_in_the_index_and_so_in_the_menu_of_the_site() -> None:
    assert sorted(pages_of(menu())) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_no_page_of_docs_links_out_of_them() -> None:
    """The site holds docs/ alone."""
    out = [
        f"{name_of(page)}: {link}"
        for page in DOCS.rglob("*.md")
        for link in LINK.findall(text_of(page))
        if not re.match(r"(https?|mailto):", link) and not (page.parent / link).resolve().is_relative_to(DOCS)
    ]
    assert out == []
