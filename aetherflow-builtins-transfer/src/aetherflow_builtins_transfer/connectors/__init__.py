"""One folder for each kind of connector; `files` holds what those to files share, `local` stands for servers."""
