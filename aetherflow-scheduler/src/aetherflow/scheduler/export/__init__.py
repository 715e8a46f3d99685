"""Exports a schedule to cron, systemd or Kubernetes, which start `run-item`; the ledger stays the document's."""
