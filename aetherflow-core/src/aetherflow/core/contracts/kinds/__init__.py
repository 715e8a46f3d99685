"""The kinds of connectors: a module for the contract of each, and `names` for what the core itself calls them."""
