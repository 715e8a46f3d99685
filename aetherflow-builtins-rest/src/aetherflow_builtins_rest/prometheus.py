"""The status in the text format of Prometheus, version 0.0.4: `aetherflow status --format prometheus`.

Written here: prometheus_client keeps a registry of the metrics of a process, of which three gauges need nothing, and
would be installed with every HTTP client. A test reads the text with its parser.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from aetherflow.core.api import hookimpl

NAME = "prometheus"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class StatusFormat:
    """The hook of `status`."""

    @hookimpl
    def aetherflow_status_format(self, name: str, status: Mapping[str, Any]) -> str | None:
        """Gauges by flow: the last success, how long it took, and how much needs a person."""
        if name != NAME:
            return None
        flows = _by_flow(status["flows"])
        needs = dict.fromkeys(flows, 0)
        for need in status["needs_person"]:
            flow = need["flow_id"] or need["name"]
            needs[flow] = needs.get(flow, 0) + 1
        ended = {flow: at / 1000 for flow, (at, _) in flows.items() if at is not None}
        took = {flow: ms / 1000 for flow, (_, ms) in flows.items() if ms is not None}
        lines = [
            *_gauge("last_success_timestamp_seconds", "End of the last successful run, in Unix time.", ended),
            *_gauge("last_success_duration_seconds", "From the start of the last successful run to its end.", took),
            *_gauge("open_failures", "What needs a person and that nobody has in hand, as status counts it.", needs),
        ]
        return "".join(f"{line}\n" for line in lines)


def _by_flow(flows: list[dict[str, Any]]) -> dict[str, tuple[int | None, int | None]]:
    """Id of a flow to the end and the duration of its last success; one flow may have several state files."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for flow in flows:
        at, took = flow["last_success_at"], flow["last_success_ms"]
        known, _ = found.setdefault(flow["flow_id"], (at, took))
        if at is not None and (known is None or at > known):
            found[flow["flow_id"]] = at, took
    return found


def _gauge(name: str, about: str, values: Mapping[str, float]) -> Iterator[str]:
    metric = f"aetherflow_flow_{name}"
    yield f"# HELP {metric} {about}"
    yield f"# TYPE {metric} gauge"
    for flow, value in sorted(values.items()):
        # a name that is no UTF-8, of a file, is shown as Python does
        label = flow.encode("utf-8", "backslashreplace").decode("utf-8").translate(_ESCAPES)
        yield f'{metric}{{flow="{label}"}} {value}'
