"""What the unit tests and the system tests of test_reports_lossless.py share."""

import warnings
from pathlib import Path
from typing import Any

HEADER = ["region", "year", "amount"]


ROWS: list[list[Any]] = [HEADER, *[[f"r{number % 5}", 2000 + number % 9, number / 4] for number in range(300)]]


DATA = {"name": "rows", "sheet": "Data", "dtypes": {"year": "int", "amount": "float"}}


def macros(path: Path) -> dict[str, str]:
    """Modules of a workbook's macros, as an analyser of malicious documents reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oletools calls old names of its parser
        from oletools.olevba import VBA_Parser

        parser = VBA_Parser(str(path))
        try:
            return {name: code for _, _, name, code in parser.extract_macros()} if parser.detect_vba_macros() else {}
        finally:
            parser.close()
