"""The commands of `fanlight`, one a file."""
