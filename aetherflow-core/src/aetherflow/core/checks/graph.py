"""The graph of a document: of a flow here, of another kind by the distribution that knows it."""

from collections.abc import Iterator
from pathlib import Path

from aetherflow.core.base.errors import ResolverError, SpecError, UsageError
from aetherflow.core.checks.foreign import foreign_kind
from aetherflow.core.checks.kinds import KINDS, Environment, check_document, kind_of
from aetherflow.core.contracts.graph import DocumentGraph, GraphEdge, GraphNode
from aetherflow.core.kernel.resolver.when import parse_when, paths_of
from aetherflow.core.kernel.yaml.flow import FlowSpec, JobSpec

MOST_STEPS = 12


def graph_of(path: Path, environment: Environment) -> DocumentGraph:
    """The graph of a document without errors.

    Raises SpecError for one with errors, UsageError for a kind that has no graph.
    """
    kind = kind_of(path, environment) or "flow"
    checked = check_document(path, environment, kind)
    if not checked.ok:
        raise SpecError(list(checked.problems))
    if kind == "flow" and checked.spec is not None:
        return _flow_graph(checked.spec)
    found = None if kind in KINDS else foreign_kind(kind, environment.of(path)[0]).graph(path)
    if found is None:
        raise UsageError(f"{path} is of the kind {kind}, which has no graph", fix="name a flow or a schedule")
    return found


def _flow_graph(spec: FlowSpec) -> DocumentGraph:
    jobs = [job.id for job in spec.jobs]
    nodes = tuple(GraphNode(job.id, tuple(_lines(job))) for job in spec.jobs)
    return DocumentGraph(spec.flow.id, nodes, tuple(edge for job in spec.jobs for edge in _edges(job, jobs)))


def _lines(job: JobSpec) -> Iterator[str]:
    if job.when:
        yield f"when {job.when}"
    if job.lock is not None:
        yield f"lock {job.lock.key}"
    for step in job.steps[:MOST_STEPS]:
        each = ", for each item" if step.for_each is not None else ""
        yield f"{step.id}: {step.type}{each}"
    if len(job.steps) > MOST_STEPS:
        yield f"and {len(job.steps) - MOST_STEPS} more steps"


def _edges(job: JobSpec, jobs: list[str]) -> Iterator[GraphEdge]:
    label = "" if job.on_dependency_skipped == "block" else f"if skipped: {job.on_dependency_skipped}"
    yield from (GraphEdge(other, job.id, label) for other in dict.fromkeys(job.depends_on) if other in jobs)
    looked_at = _looked_at(job) - set(job.depends_on)
    yield from (GraphEdge(other, job.id, "when", conditional=True) for other in jobs if other in looked_at)


def _looked_at(job: JobSpec) -> set[str]:
    """The jobs that the condition of a job names."""
    if not job.when:
        return set()
    try:
        paths = [path for path, _ in paths_of(parse_when(job.when))]
    except ResolverError:
        return set()
    return {path[1] for path in paths if len(path) > 1 and path[0] == "jobs"}
