import importlib.util
import sys

import pytest

from aetherflow_builtins_reports.shift.tokenizer import tokenizer

NAME = "openpyxl.formula.tokenizer"


@pytest.mark.parametrize(("found", "name"), [(True, "aetherflow_builtins_reports_tokenizer"), (False, NAME)])
def test_the_tokenizer_is_loaded_alone_or_imported_where_its_file_is_not_found(
    monkeypatch: pytest.MonkeyPatch, found: bool, name: str
) -> None:
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    if not found:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    module = tokenizer.__wrapped__()
    assert module.__name__ == name
    assert [token.value for token in module.Tokenizer("=A1+1").items] == ["A1", "+", "1"]
