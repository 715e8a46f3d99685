from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text: columns padded to their widest cell, without trailing blanks."""
    lines = [header, *rows]
    form = "  ".join(f"%-{max(map(len, cells))}s" for cells in zip(*lines, strict=True))
    return "\n".join([(form % tuple(line)).rstrip() for line in lines])
