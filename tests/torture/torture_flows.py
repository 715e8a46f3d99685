"""The reference flows, and what an undisturbed run of each leaves: the oracle of every crash."""

import dataclasses

HEAD = "version: 1\nflow: {{id: f, workspace: {{cleanup_policy: {policy}}}}}\njobs:\n"


@dataclasses.dataclass(frozen=True)
class Reference:
    """A flow: its text, its exit code, the steps that run and those that never may, in their order."""

    name: str
    jobs: str
    code: int
    runs: tuple[str, ...]
    never: tuple[str, ...] = ()
    policy: str = "never"
    silent: int = 0
    """Artifacts of steps that leave no line."""
    failing: tuple[str, ...] = ()
    """Steps that fail each time, and so run once per start of the run."""

    @property
    def text(self) -> str:
        """The flow document."""
        return HEAD.format(policy=self.policy) + self.jobs


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
          tables: [{name: Data, columns: [n, t], rows_json: [[1, x], [2, "a & b"], [3, null]]}]
      - {id: rows, type: excel_read, inputs: {source_path: "{{steps.book.output}}", output: rows.csv}}
      - id: report
        type: excel_fill_from_file
        inputs:
          template_path: "{{steps.book.output}}"
          output: report.xlsx
          cells: {"Data!E1": "{{job.outputs.n}}"}
          targets: [{name: Copy, source_path: "{{steps.rows.artifact_path}}", type_cast: basic}]
      - {id: two, type: torture_effect, inputs: {read: ["{{steps.report.output}}"]}}
""",
    code=0,
    runs=("one", "two"),
    silent=3,
)
"""The half of it that is about workbooks."""
ALL = (F1, F2, F3, F4)
