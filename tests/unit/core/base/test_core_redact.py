"""Secrets leave the run as `***`, in every spelling, in every sink, across the borders of chunks."""

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from aetherflow.core.base.redact import Redactor, url_secrets
from aetherflow.core.base.spellings import spellings
from aetherflow.core.runtime.processes.output import RedactedStream

TEXT = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=6, max_size=30)


@given(TEXT, st.text("ab *\n", max_size=20), st.text("ab *\n", max_size=20))
def test_every_spelling_is_masked(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add([secret])
    raw = secret.encode()
    forms = [
        secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1], shlex.quote(secret), base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
    ]  # fmt: skip
    for form in forms:
        assert form not in redactor.mask(f"{before}{form}{after}")


@given(st.lists(TEXT, min_size=1, max_size=3), st.data())
def test_borders_of_chunks_make_no_difference(secrets: list[str], data: st.DataObject) -> None:
    redactor = Redactor()
    redactor.add(secrets)
    forms = sorted(form for secret in secrets for form in spellings(secret))
    pieces = data.draw(st.lists(st.sampled_from([*forms, "x", " ", secrets[0][:3]]), max_size=8))
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    stream = RedactedStream(redactor)
    parts = [stream.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join([*parts, stream.finish()]) == redactor.mask(text)


@given(TEXT.filter(lambda text: len(text.encode()) >= 10), st.text(max_size=9), st.text(max_size=9))
def test_a_secret_inside_of_a_longer_encoded_text_is_masked(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add([secret])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode((before + secret + after).encode("utf-8", "replace")).decode()
        start = len(before.encode("utf-8", "replace"))
        inner = whole[-(-start // 3) * 4 : (start + len(secret.encode())) // 3 * 4]
        assert len(inner) >= 8
        assert inner not in redactor.mask(whole)


def test_passwords_inside_of_urls() -> None:
    url = "postgres://me:long%2Fword@host/x"
    assert set(url_secrets({"a": [url, 1, {"b": "no url"}], "c": "ftp://me@host"})) == {"long%2Fword", "long/word"}
    assert not set(url_secrets(["http://me:short@host", "me:long%2Fword@host"]))


def test_secrets_that_overlap_leave_no_rest() -> None:
    redactor = Redactor()
    redactor.add(["xpasswo", "passwordlong"])
    assert redactor.mask("a xpasswordlong b") == "a *** b"


def test_secrets_that_begin_alike_are_masked_as_far_as_each_goes() -> None:
    redactor = Redactor()
    redactor.add(["abcd", "abcdef", "abcdefghijkl", "abcdefghmnop"])
    assert redactor.mask("abcdefghijk abcdefghmnop abcdeX abc") == "***ghijk *** ***eX abc"
