"""The HTTP service: checkpoints → engines → answers. `python -m service --help` tells the rest."""
