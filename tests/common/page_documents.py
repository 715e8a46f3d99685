"""Documents as the commands give them to the hook that makes pages; with hostile texts, and as long as they come."""

# ruff: noqa: E501 rows of tables

from typing import Any

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "</pre></code></svg></title><b>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "javascript:alert(1)",
    "\x00\x01\x1b[31m\x07\x7f\x9b",
    "\u202eevil\u2066\u200f\u2028\u2029",
    "a\ud800b\udcff",
    "&lt;&amp;&#x27;&nosuch;",
    "]]><!--<![CDATA[",
    "ä 漢字 🚀",
    "x" * 3_000,
    "",
    "\n\t \r",
]
BASE = {"made_at": 1795549999000, "zone": "CET", "offset_s": 3600, "folder": "/srv/flows", "version": "1.1.0"}
T = 1795549230123


def step(job: str, name: str, status: str = "SUCCESS", *, at: int = T, **more: Any) -> dict[str, Any]:
    """An attempt of a step."""
    found = {"job_id": job, "step_id": name, "item_key": "", "attempt": 1, "status": status, "effect": "repeatable"}
    found |= {"plugin": "fail", "reason": None, "error": None, "started_at": at, "finished_at": at + 1500}
    return found | {"reason_code": None, "label": None, "idem_key": "k"} | more


def run_document(**more: Any) -> dict[str, Any]:
    """The document of a run that failed."""
    jobs = [job_of("load", [step("load", "a"), step("load", "b", "FAILED", at=T + 1500, error="no")], "FAILED")]
    found = BASE | {
        "schema": 1, "flow_id": "nightly", "run_id": "r", "status": "FAILED", "reason": None, "reason_code": None,
        "error": None, "cause": "load.b: no", "cause_code": None, "warned": [], "waits_for": None, "attempt": 1,
        "started_at": T, "finished_at": T + 3000, "duration_ms": 3000, "params": {"city": "Bonn"}, "slot": None,
        "part": [], "run_date": "2026-11-25", "data_date": "2026-11-24", "actor": "ops", "host": "etl-1", "pid": 7,
        "trigger": "cli", "command": "aetherflow run flow.yaml --param city=Bonn", "parent": None,
        "engine_version": "1.1.0", "flow_yaml": "/srv/flows/flow.yaml", "config": None, "manifest": None,
        "working_dir": "/srv/flows", "owner": None, "runbook_url": None, "state_path": "/srv/s.sqlite",
        "log_path": "/srv/r.jsonl", "jobs": jobs, "artifacts": [], "interventions": [], "flows": [], "claims": [],
        "journal": [{"seq": 1, "at": T, "event": "run_start", "detail": {"a": None, "b": 1}}], "notes": [],
        "next": "aetherflow resume r", "commands": ["aetherflow resume r"], "show_command": "aetherflow runs show r",
        "log_command": "aetherflow runs logs r", "failures": [failure()], "outputs": [], "logs": [],
        "last_success": None, "diff": None, "diff_command": "aetherflow runs diff r", "explain_command": "aetherflow explain flow.yaml", "values": [], "values_missing": None, "flow_changed_at": None,
    }  # fmt: skip
    return found | more


def job_of(name: str, steps: list[dict[str, Any]], status: str = "SUCCESS") -> dict[str, Any]:
    """A job with its steps."""
    found: dict[str, Any] = {
        "job_id": name,
        "status": status,
        "when_result": None,
        "skip_reason": None,
        "blocked_by": None,
    }
    found |= {"error": None, "started_at": T, "finished_at": T + 3000, "reason_code": None, "error_code": None}
    return found | {"steps": steps}


def failure(**more: Any) -> dict[str, Any]:
    """Why a job failed."""
    found = {
        "job": "load",
        "step": "b",
        "code": "AF5101",
        "message": "no",
        "location": "flow.yaml:9:5",
        "fix": "mend it",
    }
    return found | {"log": None, "tail": ["last words"], "items": []} | more


def hostile_run(text: str) -> dict[str, Any]:
    """A run all of whose texts are this one."""
    long = f"{text} " * 3
    steps = [step(text, text, "FAILED", item_key=text or "k", label=text, error=long, reason=text)]
    link = {"what": text, "file": text, "line": 1, "col": 1, "text": text}
    return run_document(
        flow_id=text, run_id=text, reason=long, cause=text, actor=text, host=text, command=text, owner=text,
        runbook_url=text, flow_yaml=text, working_dir=text, params={text: text, "list": [text, {text: text}]}, slot=text,
        commands=[text], show_command=text, warned=[text], waits_for=text, jobs=[job_of(text, steps), job_of(text, [])],
        failures=[failure(job=text, step=text, code=text, message=long, location=text, fix=text, tail=[text] * 3, items=[text])],
        artifacts=[{"job_id": text, "step_id": text, "item_key": "", "path": text, "size": 1, "sha256": text, "gone_by": text}],
        journal=[{"seq": 1, "at": T, "event": text, "detail": {text: text}}], notes=[text],
        outputs=[{"step": text, "attempt": 1, "text": '{"a": "b"}', "length": 10, "stored_apart": False, "secret": [text]}],
        logs=[{"name": text, "path": text, "lines": [text, long], "bytes": 99, "command": text}],
        flows=[{"job_id": text, "step_id": text, "item_key": "", "flow_id": text, "run_id": text, "state_path": text, "status": text}],
        values=[{"path": text, "value": text, "at_start": True, **link, "chain": [link, link]}], status=text,
        last_success={"run_id": text, "status": "SUCCESS", "started_at": T, "duration_ms": 1, "data_date": text},
        diff=diff_of(
            difference(name=text, before=text, now=long, where=text),
            difference(kind="definition", before="", now=f"-{text}\n+{long}\n {text}"),
            *[difference(kind=text, name=text, before="", now=text, likelihood=4)] * 8,
        ), diff_command=text, explain_command=text,
    )  # fmt: skip


def status_document(flows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The document of a status."""
    found = BASE | {"schema": 1, "ok": False, "state_root": "/srv/state", "at": T, "needs_person": [], "in_hand": []}
    found |= {"running": [], "gone": [], "older": [], "before": [], "counts": {"ok": 1}, "flows": flows, "left_out": 0}
    return found | {"not_sent": [], "all_command": "aetherflow status --all"} | more


def flow_row(name: str, runs: int = 3, status: str = "ok") -> dict[str, Any]:
    """A flow of a status, with its last runs."""
    past = [
        {
            "run_id": str(n),
            "status": "SUCCESS",
            "started_at": T + n,
            "duration_ms": 1000 + n * 37,
            "rows": 10**6 + n * 999,
        }
        for n in range(runs)
    ]
    found = {"flow_id": name, "status": status, "run_id": "r", "started_at": T, "finished_at": T, "duration_ms": 5000}
    return found | {"reason": None, "reason_code": None, "state_path": "/s", "next": None, "parent": None, "runs": past}


def need(text: str, **more: Any) -> dict[str, Any]:
    """What needs a person."""
    found = {"status": "FAILED", "name": text, "since": T, "cause": text, "reason_code": None, "error_code": "AF5101"}
    found |= {"flow_id": text, "slot": text, "run_id": text, "holds_up": (text,), "owner": text, "runbook_url": text}
    found |= {"commands": (text,), "times": 2, "handle": text, "hint": text, "diff_command": text}
    return found | {"acknowledged": {"by": text, "at": T, "reason": text, "until": None}} | more


def schedule_document(text: str = "orders", slots: int = 3, items: int = 1) -> dict[str, Any]:
    """The document of a schedule, whose names are all this text."""
    hour = 3_600_000
    start = T - 24 * hour
    every = [night_slot(start + number * hour * 30 // slots, text) for number in range(slots)]
    night = {
        "start": start, "end": T + 12 * hour, "zone": "Europe/Berlin", "hours": [{"at": start + hour, "label": "03:00"}],
        "items": [
            {"id": f"{text}{n or ''}", "zone": text, "enabled": True, "after": [text], "deadline": None, "slots": every, "left_out": False}
            for n in range(items)
        ],
    }  # fmt: skip
    row = {"slot": "2026-11-25T01:00:00Z", "status": "FAILED", "reason": text}
    item = {
        "id": text, "state": text, "seen": False, "next": text, "late": True, "held_until": None, "last_run": row,
        "paused": {"since": text, "until": text, "reason": text, "actor": text}, "last_slot": row, "active": [row], "acts": [],
    }  # fmt: skip
    needs = {
        "status": "FAILED", "item": text, "slots": [text] * 5, "run_id": text, "since": text, "cause": text, "reason_code": None,
        "told_by": None, "holds_up": [text], "owner": text, "runbook_url": text, "in_hand": False,
        "commands": [text, text], "leave": text,
    }  # fmt: skip
    year = {
        "year": 2026,
        "calendars": [{"items": [text], "business_days": True, "holidays": ["2026-12-25", "2026-01-01"], "roll": None}],
        "clock": [
            {"zone": text, "day": "2026-03-29", "at": text, "from": "02:00", "to": "03:00", "skipped": True,
             "slots": [{"item": text, "slot": text, "remark": text}]}
        ],
    }  # fmt: skip
    return BASE | {
        "schema": 1, "path": text, "state": text, "leader": {"host": text, "pid": 1}, "running": 0, "waiting": 0,
        "interrupted": [], "ok": False, "needs_person": [needs], "items": [item] * items, "now": T, "night": night,
        "forecast": forecast_of(text, start + 25 * hour, items), "year": year,
    }  # fmt: skip


def forecast_of(text: str, at: int, items: int) -> dict[str, Any]:
    """The forecast of a schedule: each item is late, and waits."""
    end = {"p50": at + 3_600_000, "p90": at + 7_200_000}
    slots = [
        {
            "item": f"{text}{n or ''}",
            "slot": at,
            "start": {"p50": at, "p90": at},
            "end": end,
            "runs": 9,
            "is_late": True,
        }
        for n in range(items)
    ]
    late = [{"item": each["item"], "told": f"will end at about 02:10; it waits for {text}"} for each in slots]
    return {"slots": slots, "late": late, "done": {"p50": "02:10", "p90": "03:10"}}


def diff_of(*differences: dict[str, Any]) -> dict[str, Any]:
    """What is different since the last success."""
    named = {"run_id": "good", "status": "SUCCESS", "started_at": T - 86_400_000, "finished_at": T - 86_390_000}
    found = {"schema": 1, "flow_id": "nightly", "before": named, "run": named, "failed_step": "load.b", "error": "no"}
    return found | {"differences": list(differences)}


def difference(**more: Any) -> dict[str, Any]:
    """A difference between two runs, as `runs diff --json` has it: an input with fewer lines, unless told else."""
    found: dict[str, Any] = {
        "kind": "input",
        "name": "orders.csv (fewer lines)",
        "before": "77 bytes",
        "now": "49 bytes",
    }
    found |= {"where": "read by the failed step", "steps": ["load.b"], "likelihood": 93}
    return found | more


def night_slot(at: int, text: str, status: str = "FAILED") -> dict[str, Any]:
    """A slot that was started twice, late."""
    tries = [
        {"started_at": at + n * 600_000, "finished_at": at + n * 600_000 + 300_000, "status": status} for n in (1, 2)
    ]
    found = {"at": at, "status": status, "reason": text, "late": True, "attempts": tries, "expected": True}
    return found | {"excluded": None, "remark": text, "late_at": at + 7_200_000}


def graph_document(text: str = "a") -> dict[str, Any]:
    """A graph whose names begin with this text."""
    nodes = [{"id": f"{text}{n}", "lines": (text, text), "disabled": n == 1} for n in range(4)]
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    shown = [{"before": f"{text}{a}", "after": f"{text}{b}", "label": text, "conditional": a == 1} for a, b in edges]
    return {"title": text, "nodes": nodes, "edges": shown}
