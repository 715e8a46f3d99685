"""The fixture `browser`: the installed Chromium without a window, one for all tests of a session."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "no Chromium is installed: apt-get install chromium"
    with sync_playwright() as playwright:
        # without its sandbox, which root may not use: it shows nothing but these pages
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
