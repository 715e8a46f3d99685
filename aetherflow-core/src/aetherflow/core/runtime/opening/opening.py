"""Opening a run: everything that is decided before it starts or resumes (inputs, resources, definitions, plan)."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aetherflow.core.base.actor import hostname
from aetherflow.core.base.errors import UsageError
from aetherflow.core.base.redact import MIN_LENGTH, Redactor, secrets_in, url_secrets
from aetherflow.core.base.typed import typed_here
from aetherflow.core.contracts.events import RunInfo
from aetherflow.core.host.secret_settings import secret_settings
from aetherflow.core.kernel.sequencing.answers import was_answered
from aetherflow.core.kernel.sequencing.definitions import References, StepDefinitions, define
from aetherflow.core.kernel.sequencing.plan import Plan, RunOptions
from aetherflow.core.kernel.sequencing.verdicts import check_jobs, make_plan
from aetherflow.core.kernel.state.records import Frozen, RunRecord
from aetherflow.core.kernel.state.run_state import RunState
from aetherflow.core.kernel.state.store import StateStore
from aetherflow.core.kernel.state.transitions import Status
from aetherflow.core.records.lost_claims import refuse_lost_claims
from aetherflow.core.runtime.environment.resources import Resources, merge_resources, refuse_short, resolve_resources
from aetherflow.core.runtime.environment.snapshot import with_work_root
from aetherflow.core.runtime.opening.circumstances import plugin_changes
from aetherflow.core.runtime.opening.flow_facts import flow_facts
from aetherflow.core.runtime.opening.inputs import RunInputs, freeze_inputs, run_root
from aetherflow.core.runtime.opening.prepare import Places, PreparedFlow, render_places

if TYPE_CHECKING:
    from aetherflow.core.runtime.opening.artifact_copies import ArtifactCopies


class Opened(NamedTuple):
    """A run that is ready to start or resume."""

    flow: PreparedFlow
    run_id: str
    found: RunRecord | None
    generation: int
    """How many processes will have owned the run, the next one included."""
    inputs: RunInputs
    """As they were given to this process, without what the flow adds."""
    options: RunOptions
    part: tuple[str, ...]
    """The jobs that the run was asked for so far, this time included; empty for all."""
    frozen: Frozen
    constants: Mapping[str, Any]
    places: Places
    redactor: Redactor
    merged: Resources
    state: RunState
    definitions: StepDefinitions
    plan: Plan
    copies: "ArtifactCopies | None"
    """Those of its artifacts for other hosts; None if the project has none."""

    def resources(self) -> dict[str, dict[str, Any]]:
        """Render and decode the resources; every secret in them is registered for masking."""
        found = resolve_resources(self.merged, self.constants, self.flow.snapshot.hook, self.redactor)
        for name, resource in found.items():
            secrets = list(secret_settings({name: resource}, self.flow.catalog))
            refuse_short(self.merged, ("resources", name), secrets)
            self.redactor.add(secrets)
        if self.flow.profiles.document is not None:
            from aetherflow.core.runtime.workspace.profile_files import with_files_of_profiles  # most flows have none

            found = with_files_of_profiles(found, self.merged.source, self.flow.catalog, self.flow.assets)
        if self.flow.snapshot.policy is not None:
            from aetherflow.core.runtime.environment.protecting import NamedFolders, require_protected  # rare

            places = NamedFolders(self.flow.file.parent, self.places.work_root / self.flow.flow_id)
            require_protected(self.merged, found, self.flow.catalog, self.flow.snapshot, places)
        return found

    @property
    def info(self) -> RunInfo:
        """The run as hooks see it."""
        return RunInfo(self.flow.flow_id, self.run_id, self.generation, self.flow.document.file)

    @property
    def ended(self) -> bool:
        """True if the run has ended with SUCCESS, with all jobs, and no option asks for a job again.

        A run of some of its jobs has ended for those who go on with it, not for those who ask for these jobs once more.
        """
        found = self.found
        return (
            found is not None
            and found.status is Status.SUCCESS
            and (not found.partial or (self.options.goes_on and self.plan.idle))
            and not self.plan.intervention.discard_jobs
        )

    @property
    def part_note(self) -> str | None:
        """What to say where a run is asked for other jobs than so far; None if it is not."""
        before = self.found.part if self.found is not None else self.part
        if before == self.part:
            return None
        known = f"run {self.run_id} was asked for {', '.join(before)} only"
        if not self.part:
            return f"{known}; from now on it is one of all jobs"
        more = [job for job in self.part if job not in before]
        return f"{known}, and is now for {', '.join(more)} too: a resume goes on with all of these"


def open_run(flow: PreparedFlow, store: StateStore, run_id: str, inputs: RunInputs, options: RunOptions) -> Opened:
    """Fix the inputs of a new or resumed run and make its plan; changes nothing.

    Raises SpecError, UsageError, ChangedDefinitionError, ClaimsLostError.
    """
    found = store.find_run(flow.flow_id, run_id)
    if options.goes_on and found is not None:
        options = _with_part(flow, found, options)
    check_jobs(flow.spec, options)
    if found is None and (options.from_step is not None or options.decisions):
        option = "--from-step" if options.from_step is not None else "--decide"
        message = f"{option}: run {run_id} of flow {flow.flow_id} is not known, so there is nothing to do again"
        raise UsageError(message, fix=f"name a known run with --run-id, as listed by: {typed_here('runs', 'list')}")
    frozen = freeze_inputs(flow, inputs, found, dt.datetime.now(dt.UTC))
    generation = found.generation + 1 if found else 1
    constants = {"env": flow.env, "params": frozen.params, "run": run_root(run_id, generation, frozen)}
    places = render_places(flow, constants)
    flow = flow._replace(snapshot=with_work_root(flow.snapshot, places.work_root))
    constants["env"] = flow.env
    redactor = flow.snapshot.redactor()
    redactor.add(secrets_in(frozen.params))
    merged = merge_resources(flow.document, flow.spec, flow.profiles)
    written = list(_written_secrets(flow, merged))
    redactor.add(text for text in written if "{{" not in text)
    redactor.add(_referenced(written, constants))
    state = RunState(store, flow.flow_id, run_id)
    copies = _copies(flow, run_id, places, redactor)
    definitions = define(flow_facts(flow, merged, frozen.params), redactor)
    if found is not None and (found.status is not Status.SUCCESS or found.partial or options.from_step):
        state.load()
        exists: Callable[[str], bool] = _exists
        if copies is not None:
            exists = copies.looking_at(state.steps.artifacts(), elsewhere=found.host != hostname())
        plan = make_plan(flow.spec, state, definitions, options, exists)
        if copies is not None:
            copies.close()  # nobody may go on with the plan
        refuse_lost_claims(state, plan, run_id)
        plan = plan._replace(plugins=plugin_changes(state.circumstances(), flow))
    elif found is not None:  # it has succeeded: a changed flow makes no difference
        for step, answer in options.decisions.items():
            was_answered(state, step, answer)
        plan = Plan([], [], options.nothing())
    else:
        plan = make_plan(flow.spec, state, definitions, options, _exists)
    return Opened(
        flow=flow,
        run_id=run_id,
        found=found,
        generation=generation,
        inputs=inputs,
        options=options,
        part=_part(found, options.jobs),
        frozen=frozen,
        constants=constants,
        places=places,
        redactor=redactor,
        merged=merged,
        state=state,
        definitions=definitions,
        plan=plan,
        copies=copies,
    )


def _with_part(flow: PreparedFlow, found: RunRecord, options: RunOptions) -> RunOptions:
    """The options to go on with the jobs that a run was asked for; UsageError for one that is gone, or another one."""
    jobs, only = [job.id for job in flow.spec.jobs], ", ".join(found.part)
    again = (options.from_step or "").partition(".")[0]
    named = [flow.document.file]
    if (bundle := flow.snapshot.bundle) is not None:
        named = ["--bundle-manifest", str(bundle.manifest), "--flow-yaml", str(flow.file.relative_to(bundle.folder))]
    run = typed_here("run", *named, "--run-id", found.run_id)
    for job_id in found.part:
        if job_id not in jobs:
            message = f"run {found.run_id} was asked for job {job_id!r}, which is not in this flow any more"
            raise UsageError(message, fix=f"bring it back, or run all jobs: {run}")
    if found.part and again in jobs and again not in found.part:
        message = (
            f"run {found.run_id} was asked for {only} only, and --from-step {options.from_step} is outside of that"
        )
        raise UsageError(message, fix=f"ask for that job too: {run} --flow-job {again} --from-step {options.from_step}")
    return options._replace(jobs=found.part)


def _part(found: RunRecord | None, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The jobs that a run was asked for so far: none is ever dropped, so that its failure is not lost."""
    if found is None:
        return asked
    return tuple(dict.fromkeys((*found.part, *asked))) if found.part and asked else ()


def _exists(path: str) -> bool:
    return Path(path).exists()


def _copies(flow: PreparedFlow, run_id: str, places: Places, redactor: Redactor) -> "ArtifactCopies | None":
    """The copies of the run's artifacts, if the project has any. Raises ConnectorError, SpecError."""
    if (spec := flow.snapshot.project.spec.artifacts) is None:
        return None
    from aetherflow.core.runtime.opening.artifact_copies import ArtifactCopies
    from aetherflow.core.runtime.workspace.project_connector import ProjectConnector  # most projects have one host

    connector = ProjectConnector(spec.resource, flow.snapshot, redactor)
    return ArtifactCopies(connector, spec.path, places.work_root, flow.flow_id, run_id)


def _written_secrets(flow: PreparedFlow, merged: Resources) -> Iterator[str]:
    """The values of secret settings, as written in the flow or its profiles: definitions must not contain them."""
    resources = {name: spec.model_dump() for name, spec in merged.merged.items()}
    for written in (flow.document.data, resources):
        yield from secrets_in(written)
        yield from url_secrets(written)
    yield from secret_settings(resources, flow.catalog)


def _referenced(texts: Iterable[str], constants: Mapping[str, Any]) -> Iterator[str]:
    """The values of variables and parameters in templates of secret settings: of DB in `password: "{{env.DB}}"`."""
    references = References()
    for text in texts:
        references.add(text)
    for path in references.paths:
        if len(path) == 2 and path[0] in ("env", "params"):
            value = constants[path[0]].get(path[1])
            if isinstance(value, str) and len(value) >= MIN_LENGTH:
                yield value
