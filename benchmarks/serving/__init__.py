"""What `python -m benchmarks serve` is made of."""
