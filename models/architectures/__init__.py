"""The networks that Fanlight knows by name: one family a file, see `registry`."""
