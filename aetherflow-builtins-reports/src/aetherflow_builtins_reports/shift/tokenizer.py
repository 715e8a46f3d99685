"""openpyxl's tokenizer of formulas without the rest of openpyxl, whose import takes longer than a small fill."""

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
    origin = package.origin if package is not None else None
    path = Path(origin or "").with_name("formula") / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("aetherflow_builtins_reports_tokenizer", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"openpyxl has no tokenizer at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
