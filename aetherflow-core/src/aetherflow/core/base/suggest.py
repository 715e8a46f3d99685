"""Suggestions for misspelt names: the nearest known name."""

import re
from collections.abc import Collection, Iterable

MAX_COMPARED = 500
"""With more known names than this there is no fuzzy search: in a flow of ten thousand jobs it would take minutes."""
LEAST_LIKE, LEAST_LIKE_OF_ANOTHER_LETTER = 0.6, 0.75
"""How alike two names must be, by difflib's ratio; who mistypes seldom mistypes the first letter."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` most likely means, or None."""
    names = sorted(known)
    plain, folded = word.lower().replace("-", "_"), list(map(str.lower, names))
    if plain in folded:
        return names[folded.index(plain)]
    if len(names) > MAX_COMPARED:
        return None
    import difflib  # imported only for a misspelt name

    different = list(dict.fromkeys(folded))
    found = difflib.get_close_matches(word.lower(), different, cutoff=LEAST_LIKE)
    likely = next((name for name in found if _may_mean(word.lower(), name)), None) or _in_more_words(word, different)
    return names[folded.index(likely)] if likely is not None else None


def _in_more_words(word: str, names: Iterable[str]) -> str | None:
    """The one name that says the same in more words, or in fewer: `timeout` and `timeout_seconds`."""
    parts = set(_words(word.lower()))
    found = [
        (abs(len(parts) - len(others)), name)
        for name in names
        if any(part in name for part in parts)  # most names share no word, and need not be taken apart
        and (parts < (others := set(_words(name))) or others < parts)
    ]
    nearest_ones = [name for more, name in found if more == min(found)[0]]
    return nearest_ones[0] if len(nearest_ones) == 1 else None


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", name)


def _may_mean(word: str, name: str) -> bool:
    """Whether similar names are more than similar by chance, as `delay_seconds` and `timeout_seconds` are."""
    if is_slip(word, name):
        return True
    parts, others = _words(word), _words(name)
    left = "".join(part for part in parts if part not in others)
    right = "".join(part for part in others if part not in parts)
    if not left or not right:
        return left == right
    import difflib

    like = difflib.SequenceMatcher(None, left, right).ratio()
    return like >= (LEAST_LIKE if left[0] == right[0] else LEAST_LIKE_OF_ANOTHER_LETTER)


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


def did_you_mean(word: str, known: Iterable[str], *, what: str = "known keys", given: Collection[str] = ()) -> str:
    """A fix for an unknown name: the nearest one that is not `given` already, else the list of all."""
    names = sorted(known)
    if (match := nearest(word, [name for name in names if name not in given])) is not None:
        return f"did you mean {match!r}?"
    if not names:
        return f"there are no {what}"
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{what}: {shown}"
