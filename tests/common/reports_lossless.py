"""Helpers shared by the unit and the system tests of test_reports_lossless.py."""

import warnings
from pathlib import Path
from typing import Any

HEADER = ["region", "year", "amount"]


ROWS: list[list[Any]] = [HEADER, *[[f"r{number % 5}", 2000 + number % 9, number / 4] for number in range(300)]]


DATA = {"name": "rows", "sheet": "Data", "dtypes": {"year": "int", "amount": "float"}}


def macros(path: Path) -> dict[str, str]:
    """Module name to source of a workbook's macros, read by oletools."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oletools uses deprecated names of its parser
        from oletools.olevba import VBA_Parser

        parser = VBA_Parser(str(path))
        try:
            return {name: code for _, _, name, code in parser.extract_macros()} if parser.detect_vba_macros() else {}
        finally:
            parser.close()
