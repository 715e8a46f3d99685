def amount(done: float, total: float | None, unit: str | None) -> str:
    """A number of something, of how many if that is known."""
    share = f" ({done / total:.0%})" if total else ""
    if unit == "bytes":
        return size_text(done) + (f" of {size_text(total)}" if total else "") + share
    return f"{done:,.0f}" + (f" of {total:,.0f}" if total else "") + f" {unit or ''}".rstrip() + share


def size_text(number: float) -> str:
    """A number of bytes with a unit, such as `1.2 MiB`."""
    value = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{number:.0f} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
