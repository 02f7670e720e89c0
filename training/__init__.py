"""Offline training: images → recipes → checkpoints. See `fanlight --help`."""
