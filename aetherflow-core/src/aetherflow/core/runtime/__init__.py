"""One run on this machine: what surrounds the kernel and what it is given."""
