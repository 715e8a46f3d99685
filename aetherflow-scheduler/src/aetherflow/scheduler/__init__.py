"""The scheduler: starts flows when their time has come."""
