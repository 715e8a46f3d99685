"""Forecasts how slots will go, from how long their items took before."""
