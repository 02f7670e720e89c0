"""Offline training: images → recipes → checkpoints. `python -m training --help` tells the rest."""
