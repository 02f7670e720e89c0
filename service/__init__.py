"""The HTTP service: checkpoints → engines → responses. See `fanlight serve --help`."""
