"""Ray is imported here first: its own modules use what pydantic has deprecated."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray.serve  # noqa: F401
