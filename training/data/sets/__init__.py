"""The data sets that Fanlight knows by name: one family a file, see `training/data/registry.py`."""
