"""The site that `make docs` builds, as a reader has it: `make docs-check`. No part of `make test`."""

import contextlib
import functools
import http.server
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Error

from browser_heard import Heard
from docs_pages import name_of
from docs_site import DOCS, SITE, menu, pages_of

HTML, PICTURES = SITE / "html", SITE / "pictures"
PAGES = ["404.html", *sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("index.html"))]
OPEN = (
    "const attach = Element.prototype.attachShadow; "
    "Element.prototype.attachShadow = function (how) { return attach.call(this, {...how, mode: 'open'}) }"
)
"""Lets a test see what the search shows."""
SEARCHED = {
    "db_load": "reference/db-load",
    "external.process": "reference/external-process",
    "run_flow": "how-to/sub-flows",
    "with_lock": "23-builtins-catalog",
    "for_each": "how-to/repeat-and-retry",
    "effect: once": "how-to/once",
    "misfire": "reference/scheduler-running",
    "blackouts": "reference/scheduler",
    "AF1101": "reference/errors",
    "exit codes": "reference/cli",
    "watermark": "how-to/extract-data",
    "host key": "how-to/check-the-host-key",
    "Excel template": "how-to/excel",
    "Kubernetes": "how-to/run-on-kubernetes",
    "crontab": "how-to/move-from-cron",
    "Slack": "how-to/send-notifications",
    "Prometheus": "how-to/monitor",
    "sign bundle": "how-to/sign-bundles",
    "kill -9": "how-to/resume-a-run",
    "Airflow": "explanation/comparison",
    "first connector": "how-to/first-connector",
    "AETHERFLOW_STATE_ROOT": "reference/project-file",
}
SHOWN = ("", "how-to/load-data/", "explanation/comparison/", "reference/reliability/")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing of the requests."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_page_and_every_example_that_one_links_is_built() -> None:
    listed = [page.removesuffix(".md").removesuffix("/README") for page in pages_of(menu()) if page != "index.md"]
    assert {"index.html", *(f"{page}/index.html" for page in listed)} <= set(PAGES)
    example = (HTML / "examples/hello/flow-yaml/index.html").read_text(encoding="utf-8")
    assert "echo hello from aetherflow" in re.sub(r"<[^>]+>", "", example)


def test_every_page_opens_without_an_error_and_asks_nobody_else(browser: Browser, address: str) -> None:
    page = browser.new_page()
    heard = Heard(page, address)
    found = {}
    for name in PAGES:
        page.goto(address + name.removesuffix("index.html"))
        assert page.locator("h1").first.is_visible()
        page.evaluate("new Promise(done => requestIdleCallback(done))")  # what starts after the page is there
        if heard.wrong:
            found[name], heard.wrong = heard.wrong, []
    page.close()
    assert found == {}


def test_search_finds_what_is_named(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.add_init_script(OPEN)
    heard = Heard(page, address)
    page.goto(address, wait_until="networkidle")
    box = page.get_by_role("combobox")
    for _ in range(30):  # the key does nothing until the search has its index
        page.keyboard.press("Control+k")
        with contextlib.suppress(Error):
            box.wait_for(timeout=2_000)
            break
    missing = []
    for text, target in SEARCHED.items():
        box.fill(text)
        try:  # among the first ten: more are shown to those who scroll only
            page.locator(f"a[role=option][href*='/{target}/']").first.wait_for(timeout=10_000)
        except Error:
            missing.append(text)
    assert missing == []
    assert heard.wrong == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_are_shown(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> None:
    PICTURES.mkdir(exist_ok=True)
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1400, "height": 900})
    for name in SHOWN:
        page.goto(address + name, wait_until="networkidle")
        page.screenshot(path=PICTURES / f"{name.strip('/').replace('/', '-') or 'index'}-{scheme}.png")
        colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", colours)[:3])) / 3
        assert (brightness > 200) if scheme == "light" else (brightness < 60)
        width, seen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= seen, f"{name} is wider than the window"
    page.close()


class Anchors(HTMLParser):
    """The ids of a page, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what is an id or a link."""
        named = dict(attrs)
        self.ids.add(named.get("id") or "")
        for key in ("href", "src"):
            if tag != "base" and (link := named.get(key)):
                self.links.add(link)


def test_every_link_and_anchor_of_the_built_pages_leads_somewhere() -> None:
    read = {name: Anchors((HTML / name).read_text(encoding="utf-8")) for name in PAGES}
    broken = []
    for name, page in read.items():
        for link in sorted(page.links):
            if urlsplit(link).scheme:
                continue
            target = urlsplit(urljoin(f"http://site/{name}", link))
            path = unquote(target.path).lstrip("/")
            path += "index.html" if path.endswith("/") or not path else ""
            if not (HTML / path).is_file() or (target.fragment and unquote(target.fragment) not in read[path].ids):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_nothing_is_lost_between_markdown_and_page() -> None:
    """Lists, blocks and tables need other blank lines and margins for the site than on GitHub."""
    from markdown_it import MarkdownIt

    github = MarkdownIt("commonmark").enable("table")
    different = []
    for source in sorted(DOCS.rglob("*.md")):
        name = source.relative_to(DOCS).with_suffix("")
        folder = name.parent if name.name in ("index", "README") else name
        built = (HTML / folder / "index.html").read_text(encoding="utf-8")
        article = built.partition("<article")[2].partition("</article>")[0]
        there = github.render(source.read_text(encoding="utf-8"))
        different += [
            f"{name_of(source)}: {tag}> {there.count(tag)} there, {article.count(tag)} here"
            for tag in ("<pre", "<tr", "<li", "<h2", "<h3")
            if there.count(tag) != article.count(tag)
        ]
    assert different == []
