"""The environment of a run: project file, settings, env files, profiles, secrets, trust."""
