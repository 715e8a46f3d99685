from pathlib import Path

from aetherflow.core.base.times import iso
from import_graph import modules

SECONDS = "%H:%M:%SZ"


def test_a_time_is_in_utc_to_the_second() -> None:
    assert (iso(1_764_032_400_999), iso(0), iso(None)) == ("2025-11-25T01:00:00Z", "1970-01-01T00:00:00Z", "")


def test_one_place_makes_the_text_of_a_time() -> None:
    homes = {name for name, path in modules().items() if SECONDS in Path(path).read_text()}
    assert {each for each in homes if not each.endswith(".run_ids")} == {"aetherflow.core.base.times"}
