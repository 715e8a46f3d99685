"""Locks that flows share: leases with a fencing token, a queue, and holders that are known to live."""
