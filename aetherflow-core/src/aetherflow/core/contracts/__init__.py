"""What a plugin may rely on. Plugins import these names from `aetherflow.core.api`."""
