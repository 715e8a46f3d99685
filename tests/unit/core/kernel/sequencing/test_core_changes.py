"""Definitions as they were recorded beside those of today."""

import pytest

from aetherflow.core.base.redact import MASK
from aetherflow.core.kernel.sequencing.changes import as_defined_today, change_text, equal_but_for_secrets

MASKED_NUMBER = '{"port":' + MASK + "}"


def test_what_is_not_recorded_is_told() -> None:
    assert change_text(None, "{}") == "(what it was before is not recorded)"


def test_texts_in_which_a_number_is_masked_are_shown_as_they_are() -> None:
    assert change_text(MASKED_NUMBER, '{"port":1}') == f'-{MASKED_NUMBER}\n+{{\n+ "port": 1\n+}}'
    assert as_defined_today(MASKED_NUMBER, {}, by_1_0=True) == MASKED_NUMBER


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        (f'{{"a":"{MASK}"}}', '{"a":"secret"}', True),
        ('{"a":"secret"}', f'{{"a":"{MASK}"}}', True),
        (f'{{"a":"{MASK}"}}', '{"b":"secret"}', False),
        (f'{{"a":"{MASK}","b":1}}', '{"a":"s","b":2}', False),
        (f'{{"a":"{MASK}"}}', '{"a":"s","b":"t"}', False),
        ('{"a":1}', '{"a":1}', True),
    ],
)
def test_texts_that_differ_where_one_is_masked_are_equal(old: str, new: str, equal: bool) -> None:
    assert equal_but_for_secrets(old, new) is equal
