"""The syntax trees of all modules: shared by the tests here, and a burden for all that follow."""

from pathlib import Path

import pytest

from import_graph import nodes, tree

HERE = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Give them up after the last test: the collector would go through every node again and again."""
    if HERE in item.path.parents and (nextitem is None or HERE not in nextitem.path.parents):
        tree.cache_clear()
        nodes.cache_clear()
