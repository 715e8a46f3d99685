"""Runs on this machine: prepares the input of the kernel and implements the services that it needs."""
