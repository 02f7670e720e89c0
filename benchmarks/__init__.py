"""What docs/speed.md claims, runnable: each module is a command."""
