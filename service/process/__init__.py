"""Policies of the process: CPU cores, work on the event loop, garbage collection."""
