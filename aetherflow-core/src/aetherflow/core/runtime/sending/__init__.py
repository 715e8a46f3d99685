"""Sending notifications: what is taken from the outboxes, decided by the rules, and sent by a process of its own."""
