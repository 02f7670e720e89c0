"""Benchmarks behind the claims of docs/speed.md; each module is a command."""
