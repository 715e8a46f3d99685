"""Loads openpyxl's formula tokenizer from its file, without importing the package.

Why: importing the package takes longer than a small fill. Without that file, the package is imported. Tried with
openpyxl 3.1.0 to 3.1.5.
"""

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

_NAME = "openpyxl.formula.tokenizer"


@cache
def tokenizer() -> ModuleType:
    """The tokenizer module; openpyxl's own if it is already imported."""
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = importlib.util.find_spec("openpyxl")
    path = Path(package.origin if package and package.origin else ".").parent / "formula" / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("aetherflow_builtins_reports_tokenizer", path)
    if spec is None or spec.loader is None or not path.is_file():
        return importlib.import_module(_NAME)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
