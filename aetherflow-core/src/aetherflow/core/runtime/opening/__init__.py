"""From a checked flow to a run that can begin or go on: its inputs, places, definitions and plan."""
