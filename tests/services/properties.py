"""The number of examples and the seed of Hypothesis. Loaded before the first module that defines a property."""

import os

import hypothesis.core
from hypothesis import HealthCheck, settings

TORTURE = os.environ.get("AETHERFLOW_TORTURE_TIER", "T0") != "T0"
"""Whether properties are tried at least 5,000 times instead of 200 (AETHERFLOW_TORTURE_TIER=T1)."""

settings.register_profile(
    "core",
    max_examples=5_000 if TORTURE else 200,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("core")
if hypothesis.core.global_force_seed is None:  # given by --hypothesis-seed otherwise
    hypothesis.core.global_force_seed = int(  # type: ignore[assignment]  # untyped there, None at first
        os.environ.get("AETHERFLOW_TORTURE_SEED") or os.environ["AETHERFLOW_TESTS_SEED"]
    )
