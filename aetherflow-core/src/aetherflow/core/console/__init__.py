"""What command lines of this house share: commands that start fast, tables, findings and errors as text, exit codes."""
