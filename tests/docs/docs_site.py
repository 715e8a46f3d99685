"""Build the site of the docs into .site/html: `python tests/docs/docs_site.py`.

The menu is docs/index.md: its headings are the menu's, and each page stands where the index links it first. The pages
themselves are taken as they are; an example that one links becomes a page, too.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from docs_pages import ROOT

DOCS, SITE = ROOT / "docs", ROOT / ".site"
_LINE = re.compile(r"^(#{2,3}) (.+)$|\]\(([^)#\s]+\.md)[^)]*\)", re.MULTILINE)
_FILE = re.compile(r"\]\(([^)#:\s]+\.(yaml|py|toml))\)")

CONFIG = """\
[project]
site_name = "AetherFlow"
docs_dir = "docs"
site_dir = "html"
extra_css = ["site.css"]
nav = {nav}

[project.theme]
font = false # the reader's own: nothing is fetched from elsewhere
features = [
  "content.code.copy", "navigation.footer", "navigation.path", "navigation.prune", "navigation.top", "search.highlight",
  "toc.follow",
]

[project.theme.icon]
logo = "lucide/workflow"

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
toggle.icon = "lucide/sun"
toggle.name = "Switch to dark mode"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
toggle.icon = "lucide/moon"
toggle.name = "Switch to light mode"

# What GitHub does with the same pages, and nothing more.
[project.markdown_extensions]
tables = {{}}
sane_lists = {{}}
pymdownx.highlight = {{}}
pymdownx.superfences = {{}}

[project.markdown_extensions.toc]
permalink = true
slugify = {{ object = "pymdownx.slugs.slugify", kwds = {{ case = "lower" }} }}
"""

STYLE = """\
/* wide tables: room for them, and columns as narrow as their words */
.md-grid { max-width: 72rem; }
.md-typeset table:not([class]) th { min-width: 0; }
.md-typeset table:not([class]) :is(th, td) { padding: 0.6em 0.9em; }
/* the theme draws its own font's letters together, which is not used here */
body { letter-spacing: 0; }
"""


def menu() -> list[object]:
    """The pages by heading of the index, each once; index.md is the first."""
    seen = {DOCS / "index.md"}
    found: list[object] = ["index.md"]
    section: list[object] = found
    inside: list[object] = found
    for marks, heading, link in _LINE.findall((DOCS / "index.md").read_text(encoding="utf-8")):
        if heading:
            inside = []
            (found if marks == "##" else section).append({heading: inside})
            section = inside if marks == "##" else section
        elif (page := (DOCS / link).resolve()) not in seen:
            seen.add(page)
            inside.append(page.relative_to(DOCS).as_posix())
    return found


def pages_of(entries: list[object]) -> Iterator[str]:
    """The pages of a menu, as paths below docs/."""
    for entry in entries:
        if isinstance(entry, dict):
            for inside in entry.values():
                yield from pages_of(inside)
        else:
            yield str(entry)


def toml(value: object) -> str:
    """A list, a map or a text as TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def _as_page(page: Path, link: re.Match[str]) -> str:
    """The link to a page that shows an example, which a browser would save instead."""
    file = page.parent / link[1]
    shown = file.with_name(f"{file.stem}-{link[2]}.md")
    if not file.is_file():
        return link[0]
    shown.write_text(f"# {'/'.join(file.parts[-2:])}\n\n```{link[2]}\n{file.read_text('utf-8')}```\n", encoding="utf-8")
    return f"]({link[1].removesuffix(file.name)}{shown.name})"


def build() -> int:
    """The exit code of the build, which fails for a link or an anchor that leads nowhere."""
    shutil.rmtree(SITE, ignore_errors=True)
    copy = SITE / "docs"  # Zensical takes none beside its configuration
    shutil.copytree(DOCS, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for page in sorted(copy.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(_FILE.sub(partial(_as_page, page), text), encoding="utf-8")
    (SITE / "docs/site.css").write_text(STYLE, encoding="utf-8")
    (SITE / "zensical.toml").write_text(CONFIG.format(nav=toml(menu())), encoding="utf-8")
    program = Path(sys.executable).with_name("zensical")
    return subprocess.run([program, "build", "--strict"], cwd=SITE, check=False).returncode


if __name__ == "__main__":
    sys.exit(build())
