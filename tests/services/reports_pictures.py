"""Renders workbooks to pictures with LibreOffice, finds the charts, and compares pictures."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

from office import convert_to
from services import need

DPI = 80
SOLID, DARK = 64, 110
"""Least saturation of a coloured pixel, and highest brightness of text and lines; both of 255."""
HUES = 6
SLACK = 5
"""Width of the square in which a pixel may find its counterpart: up to two pixels away count as the same place."""
Box = tuple[int, int, int, int]


def draw(folder: Path, *workbooks: Path) -> dict[str, list[Image.Image]]:
    """File name without suffix to the pictures of the workbook's pages."""
    (poppler,) = need("pdftoppm")
    convert_to("pdf", folder, *workbooks)
    pages = {}
    for name in (workbook.stem for workbook in workbooks):
        subprocess.run([poppler, "-r", str(DPI), "-png", folder / f"{name}.pdf", folder / name], check=True)
        found = sorted(folder.glob(f"{name}-*.png"), key=lambda path: int(path.stem.rpartition("-")[2]))
        pages[name] = [Image.open(path).convert("RGB") for path in found]
    return pages


def frames(
    page: Image.Image, bare: Image.Image, columns: int, places: Sequence[tuple[int, int, int, int]]
) -> list[Box]:
    """Where the charts stand on a page that is known without them, too.

    `places` are left, top, right and bottom of each in one unit, `columns` the width of all together.
    """
    around = ImageChops.difference(page, bare).getbbox()
    assert around is not None, "there are no charts on the page"
    scale = (around[2] - around[0]) / columns
    left, top = around[0], around[1]
    first = min(place[1] for place in places)
    return [
        (round(left + scale * x), round(top + scale * (y - first)),
         round(left + scale * right), round(top + scale * (bottom - first)))
        for x, y, right, bottom in places
    ]  # fmt: skip


def ink(picture: Image.Image) -> list[Image.Image]:
    """Masks of the drawn pixels: one for each of six hues, for chart data, and one for dark pixels."""
    hue, saturation, _ = picture.convert("HSV").split()
    coloured = saturation.point([255 * (value >= SOLID) for value in range(256)])
    masks = []
    for number in range(HUES):
        band = hue.point([255 * (value * HUES // 256 == number) for value in range(256)])
        masks.append(ImageChops.darker(band, coloured))
    grey = picture.convert("L").point([255 * (value <= DARK) for value in range(256)])
    return [*masks, ImageChops.subtract(grey, coloured)]


def likeness(expected: Image.Image, found: Image.Image) -> float:
    """Similarity of two pictures: 1 if all drawn pixels match in place and colour, 0 if none do.

    Data and the rest (titles, axes, labels) are compared separately; the lower value is returned.
    """
    assert expected.size == found.size, f"pages of different sizes: {expected.size} and {found.size}"
    ones, others = ink(expected), ink(found)
    return min(_shared(ones[:HUES], others[:HUES]), _shared(ones[HUES:], others[HUES:]))


def _shared(ones: list[Image.Image], others: list[Image.Image]) -> float:
    there, missing, there_too, too_much = 0, 0, 0, 0
    for one, other in zip(ones, others, strict=True):
        there, there_too = there + _count(one), there_too + _count(other)
        missing += _count(ImageChops.subtract(one, _grown(other)))
        too_much += _count(ImageChops.subtract(other, _grown(one)))
    assert there >= 50, f"only {there} pixels are expected: nothing to compare with"
    return 1 - max(missing / there, too_much / there_too if there_too else 1)


def _grown(mask: Image.Image) -> Image.Image:
    """All pixels with a drawn one in the square around them: as MaxFilter(SLACK), in an eighth of its time."""
    return mask.filter(ImageFilter.BoxBlur(SLACK // 2)).point([255 * (value > 0) for value in range(256)])


def _count(mask: Image.Image) -> int:
    return mask.histogram()[255]
