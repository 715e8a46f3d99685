"""The schedule of a document: its model, items, slots, and the rules for slots that are due."""
