"""Suggestions for misspelt names: the nearest known name."""

from collections.abc import Iterable

MAX_COMPARED = 500
"""With more known names than this there is no fuzzy search: in a flow of ten thousand jobs it would take minutes."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` most likely means, or None."""
    names = sorted(known)
    folded = {name.lower(): name for name in reversed(names)}
    if (same := folded.get(word.lower().replace("-", "_"))) is not None:
        return same
    if len(folded) > MAX_COMPARED:
        return None
    import difflib  # imported only for a misspelt name

    found = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def is_slip(word: str, name: str) -> bool:
    """Whether `word` is `name` with one typing error: an extra, missing, wrong or swapped letter, or another case."""
    one, other = (text.lower().replace("_", "").replace("-", "") for text in (word, name))
    if one == other:
        return True
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    left, right = one[same:], other[same:]
    if (left[:1] + right[:1]).isdigit():
        return False  # file1 and file2 are two names
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped


def did_you_mean(word: str, known: Iterable[str], *, what: str = "known keys") -> str:
    """A fix for an unknown name: the nearest one, else the list."""
    names = sorted(known)
    if (match := nearest(word, names)) is not None:
        return f"did you mean {match!r}?"
    if not names:
        return f"there are no {what}"
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{what}: {shown}"
