"""The names of the engine's databases under a state root, which are no states of flows."""

STORES = REGISTRY, LOCKS, NOTIFY = "registry.sqlite", "locks.sqlite", "notify.sqlite"
