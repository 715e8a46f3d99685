"""What the command lines of our programs share: fast commands, tables, findings and errors as text, exit codes."""
