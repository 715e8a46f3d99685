pytest_plugins = ["aetherflow.core.testing.fixtures"]
