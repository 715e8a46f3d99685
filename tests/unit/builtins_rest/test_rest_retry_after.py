"""The header Retry-After, which a server fills as it likes."""

import pytest

from aetherflow_builtins_rest.rate_limit import retry_after


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, None), ("", None), ("soon", None), ("120", 120.0), (" 7\t", 7.0), ("\x1c1", 1.0), ("\u00b2", None),
     ("-1", None), ("1" * 60 + " Oct 2015 2:0", None), ("9" * 5000, float("inf")),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Oct 2015 07:28:00 GMT", None)],
)  # fmt: skip
def test_what_a_server_asks_for(given: str | None, seconds: float | None) -> None:
    assert retry_after(given) == seconds
