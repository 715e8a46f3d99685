"""What goes wrong in a page that is open."""

from playwright.sync_api import Page


class Heard:
    """What a page says on the console, and what it asks for from elsewhere."""

    def __init__(self, page: Page, address: str) -> None:
        self.wrong: list[str] = []
        page.on("console", lambda said: self._add(said.type in ("error", "warning"), f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self._add(True, str(error)))
        page.on(
            "request", lambda request: self._add(not request.url.startswith((address, "data:", "blob:")), request.url)
        )
        page.on("response", lambda response: self._add(response.status >= 400, f"{response.status} {response.url}"))

    def _add(self, wrong: bool, text: str) -> None:
        if wrong:
            self.wrong.append(text)
