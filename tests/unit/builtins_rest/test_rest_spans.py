"""The hooks that make spans: the suite of the contract."""

import pytest
from opentelemetry.sdk.trace import TracerProvider

from aetherflow.core.testing import HookSuite
from aetherflow_builtins_rest import spans


class TestSpans(HookSuite):
    plugin = spans.SpanHooks
    name = "spans"

    @pytest.fixture(autouse=True)
    def provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spans, "_provider_here", TracerProvider)
