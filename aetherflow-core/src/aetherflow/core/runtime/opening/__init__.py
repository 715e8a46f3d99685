"""From a checked flow to a run that can start or be resumed: its inputs, folders, definitions and plan."""
