"""The pydantic models of the document `scheduler.yaml`."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from aetherflow.core.api import Backoff
from aetherflow.core.embedding import NotifySpec
from aetherflow.scheduler.schedule.calendars import Roll
from aetherflow.scheduler.schedule.policy import AfterStatus, Misfire, Overlap

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MOST = 10**9
"""Largest value of any number; larger ones, including infinity, overflow time arithmetic."""
Number = Annotated[float, Field(le=MOST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Nth = Annotated[int, Field(ge=1, le=31)] | Literal["last"]


def listed(value: Any) -> Any:
    """A list for a value that may stand alone; other lists as they are."""
    return value if value is None or isinstance(value, list) else [value]


class SchedulerModel(BaseModel):
    """Base of the models of this document; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)


class RetrySpec(Backoff):
    """When a run that failed is started again, with the same run id: it goes on where it failed."""

    max_attempts: Count = Field(1, description="Starts in all, the first included")
    backoff_seconds: Number = Field(0, ge=0, description="Wait before the second start")
    backoff_multiplier: Number = Field(1, ge=1, description="Growth of the wait from start to start")
    max_backoff_seconds: Number | None = Field(None, ge=0, description="Longest wait")

    @property
    def longest(self) -> float:
        """Upper limit of a wait, in seconds."""
        return 86400.0 if self.max_backoff_seconds is None else self.max_backoff_seconds


class CalendarSpec(SchedulerModel):
    """On which days slots run; those of other days are SKIPPED, or roll to one on which they run."""

    business_days: bool = Field(False, description="Leave out Saturdays and Sundays")
    holidays: str | list[str] | None = Field(
        None, description="Days that are left out: a YAML file with a list of them, or the list itself"
    )
    roll: Roll | None = Field(
        None, description="Slots of days that are left out run at their time on the day before, after, or the nearest"
    )
    nth: Annotated[list[Nth], BeforeValidator(listed, json_schema_input_type=list[Nth] | Nth)] = Field(
        [],
        description="The days of each month, of those that are not left out, by their number, or `last`; `cron` names "
        "times and months",
    )


class BlackoutSpec(SchedulerModel):
    """A time without runs, once (`from`, `until`) or every day (`daily`): its slots are SKIPPED."""

    from_: str | None = Field(
        None, alias="from", description="Begin, 2026-12-24 00:00 in the item's zone, or with an offset"
    )
    until: str | None = Field(None, description="End, itself not part of it")
    daily: str | None = Field(None, description="Times of day in the item's zone, 22:00-23:30; may pass midnight")
    days: list[Weekday] = Field([], description="Days on which `daily` begins; omitted: every day")
    reason: str | None = Field(None, description="Recorded with each slot that it skips")


class ItemOptions(SchedulerModel):
    """Keys of an item that `defaults` may set for all items."""

    flow_job: str | None = Field(
        None, validation_alias=AliasChoices("flow_job", "job"), description="Run only this job of the flow"
    )
    bundle_manifest: str | None = Field(None, description="Manifest of the bundle that holds the flow")
    allow_stale_bundle: bool = Field(
        False, description="If the bundle's source cannot be used, run the version that is there"
    )
    timezone: str | None = Field(None, description="IANA name of the item's zone; omitted: the file's")
    params: dict[str, Any] = Field({}, description="Parameters of the flow; those of `defaults` lie under the item's")
    enabled: bool = Field(True, description="false: no slots are expected")
    pool: str | None = Field(None, description="Name of the pool whose slots its runs take")
    since: str | None = Field(
        None, description="First instant or day whose slots are expected; omitted: when the item is first seen"
    )
    launcher: str = Field("subprocess", description="What starts the run, one of the group aetherflow.launchers")
    queue: str | None = Field(
        None, min_length=1, description="Queue of the launcher `celery` that takes the runs; omitted: `aetherflow`"
    )
    fan_out_queue: str | None = Field(
        None,
        min_length=1,
        description="Queue of the launcher `celery` for the runs that a step of the run has side by side "
        "(`for_each.max_parallel`); omitted: they are processes beside the run",
    )
    overlap: Overlap = Field(
        "skip",
        description="When the item's run before has not ended: skip the slot, queue it, allow both, or end the old run",
    )
    misfire: Misfire = Field(
        "skip", description="Of the slots that are later than the grace: skip them, run the last one, or all"
    )
    misfire_grace_time: Number = Field(300, ge=1, description="Seconds after which a slot counts as missed")
    max_catch_up: Count = Field(10, description="Most slots that `misfire: all` runs, the newest")
    spacing_seconds: Number = Field(0, ge=0, description="Time between starts while it catches up")
    timeout_seconds: Number | None = Field(None, gt=0, description="Ends the run; the same run id goes on later")
    retry: RetrySpec | None = Field(None, description="When a failed run is started again")
    calendar: CalendarSpec | None = Field(None, description="On which days slots run")
    blackouts: list[BlackoutSpec] = Field([], description="Times without runs")
    late_after_seconds: Number | None = Field(
        None, gt=0, description="Warn once if the run has not ended so long after its slot"
    )
    deadline: str | None = Field(
        None,
        description="Time of day in the item's zone, 06:00: warn once if the run has not ended when it next comes "
        "after the slot; in place of `late_after_seconds`",
    )
    max_duration_seconds: Number | None = Field(None, gt=0, description="Warn once if a run takes longer")


class SchedulerItemSpec(ItemOptions):
    """One item: a flow or a command, and when it starts."""

    id: str = Field(description="Identity of the item, unique in the file")
    cron: str | None = Field(
        None, description="Five fields, or @hourly, @daily, @weekly, @monthly, @yearly; not needed with `after`"
    )
    flow_yaml: str | None = Field(
        None,
        validation_alias=AliasChoices("flow_yaml", "flow"),
        description="The flow, relative to this file; with a manifest a path in the bundle, omitted its entry flow",
    )
    command: Annotated[list[str], BeforeValidator(listed, json_schema_input_type=list[str] | str)] = Field(
        [],
        description="In place of a flow: a program and its arguments, run in the folder of this file, without a shell",
    )
    lock: str | None = Field(
        None, min_length=1, description="Lock that a `command` holds while it runs, as with_lock does"
    )
    replaces: str | None = Field(
        None,
        min_length=1,
        description="What the log says when it is started today, `(root) CMD (/usr/bin/backup)`; for `audit --against`",
    )
    after: str | list[str] | None = Field(
        None,
        description="Item, or items, whose slots must have ended in SUCCESS; without `cron` their slots are this "
        "item's too",
    )
    after_status: AfterStatus = Field("success", description="`any`: they must have ended, in whatever way")

    @property
    def follows(self) -> tuple[str, ...]:
        """The ids that `after` names."""
        return tuple(dict.fromkeys(listed(self.after or [])))


class SchedulerFileSpec(SchedulerModel):
    """The whole document `scheduler.yaml`."""

    version: Literal[1] = Field(1, description="Version of the document format")
    timezone: str | None = Field(None, description="IANA name of the zone of all items; omitted: UTC, with a warning")
    state: str | None = Field(
        None, description="File of the slot ledger, relative to this file; omitted: under the state root"
    )
    max_running: Count = Field(4, description="Runs of this scheduler at a time")
    lease_seconds: Number = Field(10, gt=0, description="How long the leader's lease holds; a standby then takes over")
    pools: dict[str, Count] = Field({}, description="Name of a pool to the number of its slots")
    defaults: ItemOptions = Field(default_factory=ItemOptions, description="Keys for every item that does not set them")
    items: list[SchedulerItemSpec] = Field([], description="What starts when")
    notify: list[NotifySpec] = Field(
        [], description="Who is notified of the items' slots and runs; its resources are those of the project file"
    )
