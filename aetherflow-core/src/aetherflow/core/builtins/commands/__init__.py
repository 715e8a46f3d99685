"""Commands of built-in plugins, registered in the entry-point group `aetherflow.commands` like those of others."""
