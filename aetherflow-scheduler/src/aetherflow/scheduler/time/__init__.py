"""Clocks, time zones, cron expressions, and parsing of times."""
