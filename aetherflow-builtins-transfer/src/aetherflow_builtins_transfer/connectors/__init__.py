"""One package per kind of connector; `files` is the base of the file connectors, `local` the drivers without server."""
