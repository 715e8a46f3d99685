"""Exports Kubernetes CronJobs: one per item, and a second one where clock changes need it."""

import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aetherflow.core.api import UsageError
from aetherflow.scheduler.export.cronjob_schedule import CronJobTimes, cronjob_times
from aetherflow.scheduler.export.names import CRONJOB_MAX, distinct, resource_name
from aetherflow.scheduler.export.target import YEARS, Command, Exported, chosen_note, comment, plain_words

if TYPE_CHECKING:
    import datetime as dt

    from aetherflow.scheduler.schedule.schedule import Item

CLOCK_SUFFIX = "-clock"
_SHORTEST_DEADLINE = 10
"""Seconds. The CronJob controller checks every ten seconds; a shorter deadline could never be met."""
_CONCURRENCY = {"skip": "Forbid", "queue": "Allow", "allow": "Allow", "kill_old": "Replace"}
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Image, volume and namespace of the pods that run the jobs."""

    image: str
    claim: str | None
    """PersistentVolumeClaim for the ledger and the state files; None: they are lost with each pod."""
    mount: str
    """Path in the pod at which the claim is mounted; empty without a claim."""
    namespace: str | None = None


def kubernetes(
    items: Sequence["Item"],
    command: Command,
    cluster: Cluster,
    *,
    document: str,
    prefix: str,
    now: "dt.datetime",
    notes: Sequence[str],
) -> Exported:
    """Make one YAML file with the CronJobs of all given items."""
    plain_words([command.file, *command.program], "kubernetes")
    longest = CRONJOB_MAX - len(CLOCK_SUFFIX)
    names = distinct([item.id for item in items], lambda item_id: resource_name(prefix, item_id), longest, "CronJob")
    for item_id, name in names.items():
        if not _LABEL.fullmatch(name):
            raise UsageError(f"item {item_id!r}: {name!r} is no name of a CronJob", fix="give another --prefix")
    times = {item.id: cronjob_times(item.cron, item.zone, now, YEARS) for item in items}
    told = [*notes, *_notes(items, times, cluster, now)]
    documents = []
    for item in items:
        found = times[item.id]
        # a schedule that fires more often than the item has slots calls `tick`, which asks the ledger what is due
        words = command.run_item(item) if found.exact else command.tick([item])
        documents.append(_manifest(item, names[item.id], found.schedule, item.zone.key, words, cluster))
        if found.clock is not None:
            name = names[item.id] + CLOCK_SUFFIX
            documents.append(_manifest(item, name, found.clock, "Etc/UTC", command.tick([item]), cluster))
    head = comment("Items as CronJobs.", document, told)
    return Exported({"cronjobs.yaml": head + "---\n" + "---\n".join(documents)}, tuple(told))


def cluster_of(image: str, claim: str | None, namespace: str | None, *, ephemeral: bool) -> Cluster:
    """Parse the cluster options of the command. Raises UsageError for invalid combinations."""
    if not re.fullmatch(r"\w[\w./:@-]*", image, re.ASCII):
        raise UsageError(f"--image {image!r} is no name of an image", fix="--image registry.example.com/flows:1.4")
    _check_label("--namespace", namespace)
    if ephemeral:
        if claim is not None:
            raise UsageError("--claim and --ephemeral exclude each other", fix="leave one out")
        return Cluster(image, None, "", namespace)
    if claim is None:
        raise UsageError(
            "the ledger would end with each pod", fix="name a PersistentVolumeClaim, --claim etl-state:/state"
        )
    name, _, mount = claim.partition(":")
    _check_label("--claim", name)
    if not mount.startswith("/") or posixpath.normpath(mount) == "/":
        raise UsageError(f"--claim {claim!r} does not say where it is mounted", fix=f"--claim {name}:/state")
    return Cluster(image, name, posixpath.normpath(mount), namespace)


def check_places(document: str, state: str | None, cluster: Cluster) -> None:
    """Raise UsageError for a relative document path, and for a ledger that is outside of the claim's mount."""
    if not document.startswith("/"):
        raise UsageError(
            f"--path-in-image {document!r} is not a full path", fix="--path-in-image /flows/scheduler.yaml"
        )
    if cluster.claim is not None and state is not None:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(document), state))
        if not place.startswith(f"{cluster.mount}/"):
            raise UsageError(
                f"the ledger, `state: {state}`, would be {place} in the pod and end with it",
                fix=f"leave `state` out, or name a file below {cluster.mount}",
            )


def _check_label(option: str, name: str | None) -> None:
    if name is not None and not (_LABEL.fullmatch(name) and len(name) <= 63):
        raise UsageError(f"{option} {name!r} is no DNS-1123 label", fix="lower case, digits and hyphens")


def _manifest(item: "Item", name: str, schedule: str, zone: str, words: Sequence[str], cluster: Cluster) -> str:
    spec = item.spec
    lines = ["apiVersion: batch/v1", "kind: CronJob", "metadata:", f"  name: {name}"]
    if cluster.namespace is not None:
        lines.append(f"  namespace: {cluster.namespace}")
    lines += ["  labels: {app.kubernetes.io/managed-by: aetherflow-scheduler}"]
    lines += ["  annotations:", f"    aetherflow/item: {json.dumps(item.id)}"]
    lines += ["spec:", f"  schedule: {json.dumps(schedule)}", f"  timeZone: {json.dumps(zone)}"]
    lines.append(f"  concurrencyPolicy: {_CONCURRENCY[spec.overlap]}")
    if spec.misfire == "skip":
        lines.append(f"  startingDeadlineSeconds: {max(_SHORTEST_DEADLINE, round(spec.misfire_grace_time))}")
    lines += ["  jobTemplate:", "    spec:", "      backoffLimit: 0"]
    lines += ["      template:", "        spec:", "          restartPolicy: Never"]
    lines += ["          terminationGracePeriodSeconds: 90", "          containers:"]
    lines += ["            - name: run", f"              image: {json.dumps(cluster.image)}"]
    lines.append(f"              command: {json.dumps(list(words))}")
    if cluster.claim is not None:
        state, work = (json.dumps(posixpath.join(cluster.mount, name)) for name in ("state", "work"))
        lines += ["              env:", f"                - {{name: AETHERFLOW_STATE_ROOT, value: {state}}}"]
        lines.append(f"                - {{name: AETHERFLOW_WORK_ROOT, value: {work}}}")
        lines.append(f"              volumeMounts: [{{name: state, mountPath: {json.dumps(cluster.mount)}}}]")
        claim = f"{{name: state, persistentVolumeClaim: {{claimName: {cluster.claim}}}}}"
        lines.append(f"          volumes: [{claim}]")
    return "\n".join(lines) + "\n"


def _notes(items: Sequence["Item"], times: dict[str, CronJobTimes], cluster: Cluster, now: "dt.datetime") -> list[str]:
    notes = []
    if cluster.claim is None:
        notes.append("--ephemeral: the ledger and the state end with each pod; `audit` and resume know nothing of it")
    else:
        notes.append(
            f"all pods write the ledger of the claim {cluster.claim!r}: they must run on one node (ReadWriteOnce), on "
            "a volume that is no network file system"
        )
    notes += chosen_note(items)
    if loose := [item.id for item in items if not times[item.id].exact and item.cron.chosen is None]:
        notes.append(f"Kubernetes cannot say both a day of the month and a weekday; `tick` decides: {', '.join(loose)}")
    if clocks := [item.id for item in items if times[item.id].clock is not None]:
        notes.append(
            f"Kubernetes leaves out times that a change of the clock passes over; *{CLOCK_SUFFIX} looks after them "
            f"until {now.year + YEARS}, export again before that and when a zone's rules change: {', '.join(clocks)}"
        )
    if forbidden := [item.id for item in items if item.spec.overlap == "skip"]:
        notes.append(
            f"while a run goes on, Kubernetes starts its item no second time; such slots are MISSED, not SKIPPED: "
            f"{', '.join(forbidden)}"
        )
    if short := [i.id for i in items if i.spec.misfire == "skip" and i.spec.misfire_grace_time < _SHORTEST_DEADLINE]:
        notes.append(f"Kubernetes cannot keep a deadline below {_SHORTEST_DEADLINE} s: {', '.join(short)}")
    notes.append(
        "a start that Kubernetes misses is not recorded then; the next start of an item accounts for its slots since "
        "then, as its `misfire` says"
    )
    return notes
