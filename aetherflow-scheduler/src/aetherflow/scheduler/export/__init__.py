"""Schedules for other triggers: cron, systemd and Kubernetes start `run-item`, the ledger stays the one of the file."""
