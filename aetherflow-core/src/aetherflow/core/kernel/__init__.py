"""The kernel: YAML, resolver, state, locks, sequencing. It imports base, contracts and itself."""
