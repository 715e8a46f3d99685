"""`excel_write` and `excel_read`, and that one reads what the other wrote."""

import pytest
from reports_write_read import written

from reports_project import Convert, Reports


@pytest.mark.slow
def test_libreoffice_calculates_the_totals(reports: Reports, convert: Convert) -> None:
    text = convert(written(reports), "csv").read_text(encoding="utf-8")
    assert text.splitlines()[-1].startswith("Total,6")
