"""Write what the program prints today into the pages: `python tests/docs/refresh.py [PATTERN]`.

The catalogue is generated anew, every shown output that is no longer true is replaced. An output in which a line `...`
stands for others is replaced as a whole; shorten it again by hand.
"""

import re
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from docs_api import API_PAGE, api_page
from docs_catalogue import CATALOG, catalogue
from docs_kinds import KINDS_PAGE, kinds_page
from docs_pages import (
    FIRST_HOUR,
    Block,
    Sandbox,
    blocks,
    name_of,
    pages,
    run_page,
    same_output,
    validate_block,
)
from docs_rooms import PICTURE, ROOMS_PAGE, picture, with_rooms
from docs_schedule import SCHEDULE_PAGE, write_parts
from docs_state import STATE_MARK, STATE_PAGE, TRANSITIONS_MARK, TRANSITIONS_PAGE, state_tables, transitions


def refresh(page: Path) -> None:
    """Bring one page up to date."""
    texts: dict[int, tuple[Block, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        console: dict[int, list[str]] = {}
        for ran in run_page(page, Sandbox(Path(folder).resolve())) if page != FIRST_HOUR else ():
            if ran.block.language == "console":
                output = ran.shown if ran.agrees else ran.printed
                console.setdefault(ran.block.first, []).append(f"$ {ran.command}\n{output}".rstrip("\n"))
                texts[ran.block.first] = (ran.block, "\n".join(console[ran.block.first]))
            elif not ran.agrees:
                print(f"{ran.block.label}: {ran.command}: exit code {ran.code}\n{ran.printed}")
    found = blocks(page)
    for block, follower in pairwise(found):
        if (block.wrong or block.warning) and follower.language == "text":
            _, answer = validate_block(block)
            if not same_output(follower.text, answer):
                texts[follower.first] = (follower, answer)
    lines = page.read_text(encoding="utf-8").split("\n")
    for block, text in sorted(texts.values(), key=lambda item: -item[0].first):
        if text != block.text:
            print(f"{block.label}: written anew")
            lines[block.first - 1 : block.last] = text.split("\n")
    page.write_text("\n".join(lines), encoding="utf-8")


def replace(page: Path, mark: str, text: str) -> None:
    """Write a generated block into a page, below its mark."""
    before, head, after = page.read_text(encoding="utf-8").partition(f"{mark}\n```text\n")
    page.write_text(f"{before}{head}{text}\n{after[after.index('```') :]}", encoding="utf-8")


if __name__ == "__main__":
    CATALOG.write_text(catalogue(), encoding="utf-8")
    API_PAGE.write_text(api_page(), encoding="utf-8")
    KINDS_PAGE.write_text(kinds_page(), encoding="utf-8")
    replace(STATE_PAGE, STATE_MARK, state_tables())
    replace(TRANSITIONS_PAGE, TRANSITIONS_MARK, transitions())
    ROOMS_PAGE.write_text(with_rooms(ROOMS_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")
    SCHEDULE_PAGE.write_text(write_parts(SCHEDULE_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    for each in pages():
        if wanted.search(name_of(each)):
            refresh(each)
