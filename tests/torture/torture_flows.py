"""The reference flows, and what an undisturbed run of each leaves: the oracle of every crash."""

import dataclasses

HEAD = "version: 1\nflow: {{id: f, workspace: {{cleanup_policy: {policy}}}}}\n{resources}jobs:\n"


@dataclasses.dataclass(frozen=True)
class Reference:
    """A flow: its text, its exit code, the steps that run and those that never may, in their order."""

    name: str
    jobs: str
    code: int
    runs: tuple[str, ...]
    never: tuple[str, ...] = ()
    policy: str = "never"
    failing: tuple[str, ...] = ()
    """Steps that fail each time, and so run once per start of the run."""
    artifacts: int | None = None
    """How many there are at the end; None: one of each step that ran and did not fail."""
    resource: str = ""
    """The resource `wh`, as YAML on one line."""

    @property
    def text(self) -> str:
        resources = f"resources: {{wh: {self.resource}}}\n" if self.resource else ""
        return HEAD.format(policy=self.policy, resources=resources) + self.jobs


F1 = Reference(
    "F1",
    """\
  - id: a
    steps:
      - id: one
        type: torture_effect
        inputs: {output: {n: 5}, size: 40000}
        outputs: {n: "{{result.n}}", file: "{{result.path}}"}
      - id: two
        type: torture_effect
        inputs: {n: "{{job.outputs.n}}", seen: "n is {{steps.one.n}}"}
        outputs: {m: "{{result.text}}"}
  - id: b
    depends_on: [a]
    when: jobs.a.outputs.n == 5
    steps: [{id: three, type: torture_effect, inputs: {m: "{{jobs.a.outputs.m}}", read: ["{{jobs.a.outputs.file}}"]}}]
  - {id: c, when: jobs.a.outputs.n == 6, steps: [{id: wrong, type: torture_effect}]}
""",
    code=0,
    runs=("one", "two", "three"),
    never=("wrong",),
)
F2 = Reference(
    "F2",
    """\
  - id: a
    steps:
      - id: one
        type: torture_effect
        inputs:
          text: 1000000
          output: {int: -7, big: 123456789012345678901234567890, float: 1.5, yes: true, no: false, none: null,
                   nested: {list: [1, 1.0, true, null, "1", {deep: []}], empty: {}}}
        outputs: {int: "{{result.int}}", big: "{{result.big}}", float: "{{result.float}}", yes: "{{result.yes}}",
                  none: "{{result.none}}", nested: "{{result.nested}}", text: "{{result.text}}"}
      - id: two
        type: torture_effect
        inputs: {v: ["{{steps.one.int}}", "{{steps.one.no}}", "{{steps.one.none}}", "{{steps.one.nested}}"]}
  - id: b
    depends_on: [a]
    steps:
      - id: three
        type: torture_effect
        inputs: {v: ["{{jobs.a.outputs.big}}", "{{jobs.a.outputs.float}}", "{{jobs.a.outputs.yes}}",
                     "{{jobs.a.outputs.none}}", "{{jobs.a.outputs.nested}}", "{{jobs.a.outputs.text}}"]}
""",
    code=0,
    runs=("one", "two", "three"),
)
F3 = Reference(
    "F3",
    """\
  - id: a
    steps:
      - {id: one, type: torture_effect, inputs: {size: 3000}, outputs: {path: "{{result.path}}"}}
      - {id: none, type: check_items, inputs: {items: []}, on_no_data: skip_job}
      - {id: rest, type: torture_effect}
      - {id: last, type: torture_effect}
  - {id: b, depends_on: [a], steps: [{id: blocked, type: torture_effect}]}
  - id: c
    when: jobs.a.status == "SKIPPED"
    steps: [{id: three, type: torture_effect, inputs: {read: ["{{jobs.a.outputs.path}}"]}}]
""",
    code=0,
    runs=("one", "three"),
    never=("rest", "last", "blocked"),
    policy="on_success",
)
F4 = Reference(
    "F4",
    """\
  - id: a
    steps:
      - {id: one, type: torture_effect, outputs: {path: "{{result.path}}"}}
      - {id: bad, type: torture_effect, inputs: {fail: out of luck, size: 5000}}
      - {id: after, type: torture_effect}
  - {id: b, depends_on: [a], steps: [{id: blocked, type: torture_effect}]}
  - {id: c, steps: [{id: free, type: torture_effect, inputs: {size: 100}}]}
  - id: d
    when: jobs.a.status == "FAILED"
    steps:
      - {id: handler, type: torture_effect, inputs: {what: ["{{jobs.a.error.step}}", "{{jobs.a.error.message}}"]}}
""",
    code=1,
    runs=("one", "bad", "free", "handler"),
    never=("after", "blocked"),
    policy="on_success",
    failing=("bad",),
)
F5 = Reference(
    "F5",
    """\
  - id: a
    steps:
      - id: one
        type: with_lock
        inputs:
          lock_key: torture
          step:
            id: inner
            type: external.process
            inputs:
              shell: true
              command: 'test -n "$AETHERFLOW_LOCK_TOKEN" && echo one.inner >> "$EFFECTS" && echo held'
              log: {stdout: capture}
        outputs: {text: "{{result.stdout}}"}
      - id: two
        type: with_lock
        inputs:
          lock_key: torture
          step:
            type: external.process
            id: inner
            inputs:
              command: [sh, -c, 'echo two.inner >> "$EFFECTS"; echo "$1"', sh, "{{steps.one.stdout}}"]
              log: {stdout: file, file_path: two.txt, append: false}
""",
    code=0,
    runs=("one.inner", "two.inner"),
    artifacts=1,
)
F6 = Reference(
    "F6",
    """\
  - id: a
    steps:
      - id: capture
        type: external.process
        inputs:
          shell: true
          command: 'echo capture >> "$EFFECTS"; echo out; echo err >&2; printf ''{"n": 5}'' > "$AETHERFLOW_OUTPUT_FILE"'
          log: {stdout: capture, stderr: capture}
        outputs: {n: "{{result.n}}", out: "{{result.stdout}}"}
      - id: result
        type: external.process
        inputs:
          shell: true
          command: 'echo result >> "$EFFECTS"; touch ready; printf "n is {{steps.capture.n}}"'
          log: {stdout: file, file_path: result.txt, append: false}
          success: {require_files: ready}
      - id: known
        type: external.process
        inputs:
          shell: true
          command: 'echo known >> "$EFFECTS"'
          idempotency: {strategy: marker, marker_path: ready}
      - id: again
        type: external.process
        inputs:
          shell: true
          command: 'echo again >> "$EFFECTS"; if [ -e tried ]; then rm tried; else touch tried; exit 75; fi'
          retry: {max_attempts: 3, retry_on_exit_codes: 75}
          log: {stdout: file, stderr: file, file_path: again.log}
      - id: late
        type: external.process
        inputs:
          shell: true
          command: 'echo late >> "$EFFECTS"; if [ -e tried ]; then rm tried; else touch tried; sleep 60; fi'
          timeout_seconds: 0.3
          kill_grace_seconds: 0.2
          retry: {max_attempts: 5, retry_on: timeout}
      - id: folder
        type: external.process
        inputs:
          command: 'echo folder >> "$EFFECTS"; cd "$AETHERFLOW_OUTPUT_DIR"; mkdir s; echo folder | tee a > s/b'
          shell: true
          success: {require_files: [out/a, out/s/b]}
          idempotency: {strategy: atomic_dir, temp_output_dir: new, final_output_dir: out}
      - id: swapped
        type: external.process
        inputs:
          command: 'echo swapped >> "$EFFECTS"; cd "$AETHERFLOW_OUTPUT_DIR"; mkdir s; echo swapped | tee a > s/b'
          shell: true
          success: {require_files: [out/a, out/s/b]}
          idempotency: {strategy: atomic_dir, temp_output_dir: new, final_output_dir: out}
      - id: moved
        type: external.process
        inputs:
          command: 'echo moved >> "$EFFECTS"; cd "$AETHERFLOW_OUTPUT_DIR"; mkdir s; echo moved | tee a > s/b'
          shell: true
          idempotency: {strategy: atomic_dir, temp_output_dir: new, final_output_dir: moved, atomic_rename: false}
""",
    code=0,
    runs=("capture", "result", "again", "again", "late", "late", "folder", "swapped", "moved"),
    never=("known",),
    artifacts=3,
)
F7 = Reference(
    "F7",
    """\
  - id: a
    steps:
      - {id: one, type: torture_effect, outputs: {n: 7}}
      - id: book
        type: excel_write
        inputs:
          output: book.xlsx
          tables: [{name: Data, columns: [n, t], rows_json: [[1, x], [2, "a & b"], [3, null]], totals: {n: sum}}]
      - {id: rows, type: excel_read, inputs: {source_path: "{{steps.book.output}}", output: rows.csv, range: "A1:B4"}}
      - id: report
        type: excel_fill_from_file
        inputs:
          template_path: "{{steps.book.output}}"
          output: report.xlsx
          cells: {"Data!E1": "{{job.outputs.n}}"}
          targets:
            - {name: Copy, source_path: "{{steps.rows.artifact_path}}", type_cast: basic}
            - {name: In, mode: report_region, cell: Data!A3, source_path: "{{steps.rows.artifact_path}}"}
            - {name: Up, mode: report_region, cell: Data!A4, insert: grow, source_path: "{{steps.rows.artifact_path}}"}
      - {id: two, type: torture_effect, inputs: {read: ["{{steps.report.output}}"]}}
""",
    code=0,
    runs=("one", "two"),
    artifacts=5,
)
"""The half of it that is about workbooks."""
F7_DB = Reference(
    "F7-DB",
    """\
  - id: a
    steps:
      - {id: one, type: torture_effect, outputs: {n: 7}}
      - id: rows
        type: db_extract
        inputs: {resource: wh, sql: "SELECT a, s, n FROM source ORDER BY a", output: rows.csv}
        outputs: {rows: "{{result.rows}}"}
      - id: fresh
        type: db_extract_stream
        inputs:
          resource: wh
          sql: SELECT a, s FROM source WHERE a > :watermark ORDER BY a
          output: fresh.parquet
          watermark: {column: a, initial: 3}
          emit_dtypes: true
      - id: few
        type: db_fetch_small
        inputs: {resource: wh, sql: "SELECT n, count(*) AS c FROM source GROUP BY n ORDER BY n"}
      - id: good
        type: db_check
        inputs: {resource: wh, table: source, checks: [{not_null: a}, {unique: a}, {row_count: {min: 5}}]}
      - id: book
        type: excel_write
        inputs: {output: book.xlsx, tables: [{name: Data, columns: [a, s, n], rows_json: [[0, x, null]]}]}
      - id: report
        type: excel_fill_from_file
        inputs:
          template_path: "{{steps.book.output}}"
          output: report.xlsx
          cells: {"Data!E1": "{{steps.few.rows_json}}", "Data!E2": "{{steps.rows.row_count}}"}
          targets: [{name: Copy, source_path: "{{steps.rows.artifact_path}}", type_cast: basic}]
      - id: back
        type: db_load
        inputs: {resource: wh, table: target, path: "{{steps.rows.output}}"}
      - id: sums
        type: db_execute
        inputs: {resource: wh, sql: "UPDATE target SET n = n + 1; DELETE FROM target WHERE a = 5", exactly_once: true}
      - {id: two, type: torture_effect, inputs: {read: ["{{steps.report.output}}"]}}
""",
    code=0,
    runs=("one", "two"),
    artifacts=6,
)
"""The whole of it: extracted in two formats and in part, checked, filled into a workbook, loaded back, changed."""
ALL = (F1, F2, F3, F4)
PROCESS = (F5, F6)
"""Those whose steps are programs. Where a program was when its runner died is not the runner's to say, so these flows
are killed at failpoints, not at system calls."""
