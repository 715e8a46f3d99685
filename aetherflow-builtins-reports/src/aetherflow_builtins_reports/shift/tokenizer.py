"""All that we take of openpyxl past its package: its tokenizer of formulas, loaded from its file.

Why: the import of the package takes longer than a small fill. Where the file is not found, the package is imported,
which is slower. Tried with openpyxl 3.1.0 to 3.1.5.
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
    """The module; of openpyxl itself if that is imported already."""
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
