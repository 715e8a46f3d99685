"""Oracle, by python-oracledb in thin or thick mode."""
