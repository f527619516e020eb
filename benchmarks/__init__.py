"""Measurements, each with the command that repeats it; results are in docs/benchmarks.md."""
