"""Notifications: rules, what is due, how it reads, and the sinks that it is sent to."""
