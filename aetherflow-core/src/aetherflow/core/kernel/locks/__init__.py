"""Locks that flows share: leases with a fencing token, a queue of waiters, and detection of dead holders."""
