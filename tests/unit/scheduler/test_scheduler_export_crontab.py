"""`export crontab`: what cron reads out of it, checked by Debian's own `crontab -n`."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from aetherflow.scheduler.cron import Cron
from services import need

NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high - (high == 7)))
        parts.append(draw(st.sampled_from(["*", f"*/{step}", f"{first}", f"{first}-{last}", f"{first}-{last}/{step}"])))
    return ",".join(parts)


EXPRESSIONS = st.tuples(*(fields(low, high) for low, high in NUMBERS.values())).map(" ".join)


@given(st.lists(EXPRESSIONS, min_size=20, max_size=20))
def test_every_expression_is_one_for_debians_cron(expressions: list[str]) -> None:
    (crontab,) = need("crontab")
    text = "".join(f"{Cron.parse(each).normal} true\n" for each in expressions)
    done = subprocess.run([crontab, "-n", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stderr, text)
