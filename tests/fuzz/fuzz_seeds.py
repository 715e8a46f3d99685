"""Inputs that fuzzing starts from: nobody guesses the structure of a document, or the names of days."""

import json

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
FLOW = """flow: {id: a, description: b, version: 1.0.0, defaults: {retry: {max_attempts: 2}, timeout_seconds: 5}}
env_files: [{type: dotenv, path: .env, prefix: A_}]
resources:
  db:
    {kind: db, driver: sqlite3, config: {path: "{{env.D}}"}, decode: {config: {path: true}}, options: {read_only: true}}
jobs:
  - id: one
    if: "{{jobs.two.status}} == 'SUCCESS'"
    depends_on: [two]
    for_each: {items: "{{steps.x.files}}", key: "{{item}}", on_error: continue}
    lock: {key: k, wait_seconds: 1}
    steps:
      - {id: x, type: file_find, inputs: {pattern: "*.csv"}}
      - {id: y, type: external.process, inputs: {command: [ls, "{{steps.x.count}}"]}, timeout_seconds: 3}
  - {id: two, steps: [{id: z, type: file_write, inputs: {path: a, text: "{{run.date.iso}}"}}]}
"""
SCHEDULE = """timezone: Europe/Berlin
misfire_grace_time: 1h
items:
  - {id: a, flow: flow.yaml, cron: "0 3 * * *", params: {x: 1}, max_running: 1, after: [b]}
  - {id: b, bundle: {manifest: m.yaml, flow: f.yaml}, every: 5m, calendar: {exclude: [2026-12-24]}}
calendars: {holidays: {dates: [2026-12-25]}}
"""
SIGNED = json.dumps({
    "text": json.dumps({"version": 1, "kind": "order", "queue": "q", "issued": 1.0, "expires": 9e9, "body": {}}),
    "signature": "x",
})  # fmt: skip
ORDER = json.dumps({
    "item": "i", "run_id": "r", "slot": "s", "arguments": ["run", "--flow-yaml", "f.yaml"], "folder": "/",
    "log": "/x.log", "env": {"A": "b"}, "answer_to": "me", "number": "r.1", "fan_out_queue": None, "request": "",
    "schedule": "", "generation": 1,
})  # fmt: skip
SEEDS: dict[str, list[str]] = {
    "answers": [
        '{"number": "r.1", "exit_code": 0, "summary": {"status": "SUCCESS"}}',
        '{"worker": "w", "host": "h", "queues": ["q"], "orders": ["r.1"], "left": true}',
        SIGNED,
    ],
    "orders": [ORDER, SIGNED, '{"arguments": ["inside", "r"], "request": "x"}'],
    "checksums": ["0" * 64 + "  a.csv\n\\" + "f" * 64 + " *b\\nc\n# x\n"],
    "cron": ["*/15 1-3 * * mon-fri", "@daily", "30 2 1,15 jan-mar/2 7", "5/10 * */2 * 1"],
    "delimited": [
        'a,b\r\n1,"x ""y"""\r\n,2026-01-01T00:00:00+01:00\n',
        "a;b\n1;\\;x\n",
        "\ufeffa\tb\n1e5\t12:30:00.5\n",
    ],
    "document": [FLOW, "profiles: {p: {db: {config: {path: x}}}}\n", "state: {root: /x}\nplugins: {paths: [a]}\n"],
    "dotenv": ["A=1\nexport B='x y'\nC=\"a\\n${A}\" # c\n"],
    "git": ["a.yaml\0sub/b.yaml\0../c\0sub/\udcff"],
    "http": [
        '<https://a.example.com/?page=2>; rel="next", </b>; rel=last',
        "Wed, 21 Oct 2026 07:28:00 GMT",
        '{"next": 7}',
        "120",
    ],
    "jsonl": ['{"a": 1, "b": [1.5, null]}\n[1, "x"]\n\n{"a": {"c": true}}\n'],
    "loader": [FLOW, SCHEDULE],
    "manifest": [
        "bundle: {id: a, source: {type: git, url: u, ref: main}, limits: {max_files: 5}, require: {core: '>=1'}}\n"
    ],
    "metadata": ["[aetherflow.steps]\na = b.c:D\n", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n\ntext\n"],
    "resolver": ["{{env.A | default('x')}}", "a {{steps.s.files[0]}} {{steps.s.n}}", "{{run.date.iso}}"],
    "schedule": [SCHEDULE],
    "sql": [
        "SELECT ':a', x::date FROM t WHERE a = :b; -- c\n/* d */ BEGIN; END;",
        "CREATE PROCEDURE p AS $$ a; $$;",
        "q'[it's]' || \\:x",
    ],
    "ssh": [
        f"[server.example.com]:2222,*.example.org {KEY}\n@revoked |1|a=|b= ssh-rsa AAAA\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----\n",
    ],
    "when": ["jobs.a.status == 'FAILED' and not (jobs.a.outputs.n > 3 or jobs.a.outputs.t)"],
}
