"""The pages of `--html` as their readers have them: opened from disk, on a screen and a phone, light, dark, printed."""

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from browser_heard import Heard
from browser_night import Pages, make_pages
from core_project import Project
from docs_site import SITE

PICTURES = SITE / "pictures"
AXE = SITE / "npm/node_modules/axe-core/axe.min.js"
"""Looks for what keeps people from using a page; `make docs-check` has npm install it."""
WIDE, NARROW = 1280, 390
SHOWN = {"failed": "page-run"}
"""The docs show this picture and that of the night: docs/images has copies, made anew when the pages change."""


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    return make_pages(Project(tmp_path_factory.mktemp("pages")))


def opened(browser: Browser, file: Path, width: int, scheme: Literal["light", "dark"]) -> tuple[Page, Heard]:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    heard = Heard(page, file.as_uri())
    page.goto(file.as_uri())
    return page, heard


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", Pages._fields)
def test_a_page_is_quiet_and_can_be_used_by_everyone(
    browser: Browser, pages: Pages, name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    file = getattr(pages, name)
    page, heard = opened(browser, file, width, scheme)
    if file.suffix == ".html":
        found = page.evaluate(f"{AXE.read_text(encoding='utf-8')};axe.run()")["violations"]
        assert [(each["id"], [node["target"] for node in each["nodes"]][:5]) for each in found] == []
        shown, seen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert shown <= seen, "it is wider than the window"
        colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", colours)[:3])) / 3
        assert (brightness > 200) if scheme == "light" else (brightness < 60)
        assert page.pdf().startswith(b"%PDF")
    page.screenshot(path=PICTURES / f"{SHOWN.get(name, f'page-{name}')}-{width}-{scheme}.png")
    if name == "schedule" and (width, scheme) == (WIDE, "light"):
        page.locator("#night").screenshot(path=PICTURES / "page-night.png")
    assert heard.wrong == []
    page.close()


def test_every_part_is_reached_by_keyboard(browser: Browser, pages: Pages) -> None:
    page, heard = opened(browser, pages.failed, WIDE, "light")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName + (document.activeElement.className || '')"))
    assert {"Askip", "A", "BUTTON", "DIVscroll", "INPUT", "SUMMARY", "PRElog"} <= reached
    assert heard.wrong == []
    page.close()


def test_a_log_is_searched_and_a_command_copied(browser: Browser, pages: Pages) -> None:
    page, heard = opened(browser, pages.failed, WIDE, "light")
    page.get_by_label("Search the logs").fill("expected 36.5")
    assert page.locator("#logs mark").count() >= 3
    assert page.locator("#logs [role=status]").inner_text().endswith(" found")
    page.get_by_label("Search the logs").fill("")
    assert page.locator("#logs mark").count() == 0
    page.get_by_label("Copy the command next1").click()
    assert page.get_by_label("Copy the command next1").inner_text() in ("Copied", "Selected")
    assert heard.wrong == []
    page.close()


def test_nothing_of_what_runs_print_runs_here(browser: Browser, pages: Pages) -> None:
    page, heard = opened(browser, pages.hostile, WIDE, "light")
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    for each in page.locator("summary").all():
        each.click()
    page.mouse.wheel(0, 5_000)
    assert page.locator("img").count() == 0
    assert page.evaluate("document.scripts.length") == 1
    assert (said, heard.wrong) == ([], [])
    page.close()


def test_without_scripts_all_is_there(browser: Browser, pages: Pages) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(pages.failed.as_uri())
    assert page.get_by_text("exit code 3: sum 35.0, expected 36.5").first.is_visible()
    assert not page.get_by_label("Search the logs").is_visible(), "what would do nothing is not shown"
    page.close()
