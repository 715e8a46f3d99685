"""Oracle, by python-oracledb."""
