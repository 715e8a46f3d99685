"""One package per driver, and `common` for what they share. Driver libraries are imported only when connecting."""
