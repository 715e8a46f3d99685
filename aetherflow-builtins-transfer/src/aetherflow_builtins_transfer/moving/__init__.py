"""What the steps do with files at a peer, over the primitives of `FileConnector` and nothing else."""
