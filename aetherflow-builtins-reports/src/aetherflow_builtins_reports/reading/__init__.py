"""Reads workbooks into files. The functions run in a child with limits, see `RunContext.call_limited`."""
