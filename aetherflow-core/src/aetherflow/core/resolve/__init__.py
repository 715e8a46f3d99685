"""Values: the one template grammar, the scopes it reads, the environment and the paths of a run."""
