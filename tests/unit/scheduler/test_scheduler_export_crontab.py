"""`export crontab`: what cron reads out of it, checked by Debian's own `crontab -n`."""

from hypothesis import strategies as st


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high - (high == 7)))
        parts.append(draw(st.sampled_from(["*", f"*/{step}", f"{first}", f"{first}-{last}", f"{first}-{last}/{step}"])))
    return ",".join(parts)
