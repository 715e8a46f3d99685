"""Shared by the command lines of first-party programs: fast commands, tables, findings and errors, exit codes."""
