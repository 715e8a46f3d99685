"""Clocks, zones, cron expressions, and times as they are written."""
