"""The parts of `python -m benchmarks serve` and of others: load, baselines, workloads."""
