"""Processes that run slots: the scheduler, one pass, one slot, slots of the past."""
