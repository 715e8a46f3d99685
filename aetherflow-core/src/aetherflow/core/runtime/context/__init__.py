"""`RunContext`, carried out: the run as one attempt of a step sees it."""
