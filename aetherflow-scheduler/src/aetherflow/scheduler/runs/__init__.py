"""The runs of slots: requesting, starting, watching and ending them, and taking over those of dead processes."""
