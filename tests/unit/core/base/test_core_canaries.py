"""Secrets by the names that people give them, in all the forms in which they travel."""

import base64
import random

import pytest
from canaries import CANARY, FORMS, NONE, USUAL

from aetherflow.core.base.redact import Redactor
from aetherflow.core.base.secret_names import is_secret_name
from aetherflow.core.runtime.processes.output import RedactedStream


@pytest.mark.parametrize("name", USUAL)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", NONE)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    found = Redactor()
    found.add([CANARY])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_masked(form: str, redactor: Redactor) -> None:
    written = FORMS[form](CANARY)
    assert redactor.mask(f"before {written} after") == "before *** after"
    text = f"before {written} after " * 3
    for seed in range(20):
        cuts = sorted(random.Random(seed).choices(range(len(text)), k=4))
        stream = RedactedStream(redactor)
        parts = [stream.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert "".join([*parts, stream.finish()]) == "before *** after " * 3


def test_utf_16_is_masked_in_what_is_decoded_as_utf_8(redactor: Redactor) -> None:
    redactor.add(["only-ascii"])
    assert redactor.mask("only-ascii".encode("utf-16-le").decode()) == "***"


def test_base64_that_breaks_its_lines_is_masked(redactor: Redactor) -> None:
    for before in range(60):
        text = ("x" * before + CANARY + "x" * 60).encode()
        start, end = -(-before // 3) * 4, (before + len(CANARY.encode())) // 3 * 4
        inner = base64.b64encode(text).decode()[start:end]
        for newline in ("\n", "\r\n"):
            masked = redactor.mask(base64.encodebytes(text).decode().replace("\n", newline))
            assert inner not in masked.replace(newline, "")
            assert "***" in masked


def test_ids_and_paths_of_ours_are_left_alone() -> None:
    redactor = Redactor()
    redactor.add(["sales"])
    redactor.keep(["sales-2026-11-27", "/data/work/sales/load"])
    text = "run sales-2026-11-27 wrote /data/work/sales/load/a.csv"
    assert redactor.mask(text) == text
    assert redactor.mask("password sales, /data/work/sales, sales-2026") == "password ***, /data/work/***, ***-2026"


def test_what_is_too_short_masks_nothing() -> None:
    redactor = Redactor()
    redactor.add(["a", "ab", "abc", ""])
    assert redactor.mask("abc") == "abc"
