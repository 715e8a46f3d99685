"""Entry-point groups, and how plugin names are shown."""

STEPS = "aetherflow.steps"
CONNECTORS = "aetherflow.connectors"
BUNDLE_SOURCES = "aetherflow.bundle_sources"
HOOKS = "aetherflow.hooks"
STATUS = "aetherflow.hooks.status"
"""Hooks that only `status` asks: what is here is not imported by a run."""
OTEL = "aetherflow.hooks.otel"
"""Hooks that make the spans of a run: imported only where `otel` is on."""
COMMANDS = "aetherflow.commands"
DOCUMENTS = "aetherflow.documents"
"""Kinds of documents of other programs; loaded for a file that is of none of the core's own kinds."""
STATE_BACKENDS = "aetherflow.state_backends"
"""What keeps state, locks and ledger in a database server; loaded where a project names a resource for that."""
LAUNCHERS = "aetherflow.launchers"
"""What starts the run of a slot; loaded by the scheduler alone."""
LEGACY = "aetherflow.plugins"
"""The old group: an object that registers steps and connectors when it is called."""
KINDS = {STEPS: "step", CONNECTORS: "connector", BUNDLE_SOURCES: "bundle source"}
"""Entry-point group to the word that users read, for all that flows and manifests use."""
WORDS = {
    **KINDS,
    HOOKS: "hook",
    STATUS: "hook",
    OTEL: "hook",
    COMMANDS: "command",
    DOCUMENTS: "kind of document",
    LAUNCHERS: "launcher",
    STATE_BACKENDS: "state backend",
}
"""Entry-point group to its word, for every group."""
INTERNAL = frozenset({"aetherflow.hints", "aetherflow.first_party"})
"""Groups of aetherflow-core's own metadata, which name no plugins."""
MANY = frozenset({HOOKS, STATUS, OTEL})
"""Groups of which everything is used: two distributions may provide one name."""


def shown(group: str, name: str) -> str:
    """A name as users see it: that of a connector as `kind:driver`."""
    return name.replace(".", ":", 1) if group == CONNECTORS else name
