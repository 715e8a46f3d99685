"""The contract suite over our own hooks, and proof that it notices."""

from typing import Any

import pytest

from aetherflow.core.api import Outcome, RunInfo, hookimpl
from aetherflow.core.base.errors import HookError
from aetherflow.core.host.hooks import Hooks, NamedPlugin
from aetherflow.core.runtime.hooks.metrics import MetricsHooks
from aetherflow.core.testing import HookSuite


class TestMetrics(HookSuite):
    def build(self) -> MetricsHooks:
        return MetricsHooks(None)


def raising(run: RunInfo) -> None:
    raise ValueError(run.run_id)


def of(**hooks: Any) -> Hooks:
    return Hooks(
        [NamedPlugin("suite:plugin", type("Plugin", (), {name: staticmethod(hook) for name, hook in hooks.items()})())]
    )


def test_a_raising_observer_fails_the_suite() -> None:
    hooks = of(aetherflow_run_started=hookimpl(raising))
    with pytest.raises(ValueError, match="run-1"):
        TestMetrics().test_observers_take_whatever_happens(hooks, Outcome("SUCCESS", 1))


def test_a_misspelt_hook_and_a_plugin_without_one_fail_the_suite() -> None:
    with pytest.raises(HookError, match="aetherflow_run_startd"):
        of(aetherflow_run_startd=hookimpl(raising))
    with pytest.raises(AssertionError, match="implements no hook"):
        TestMetrics().test_every_hook_exists_and_is_described(of())
