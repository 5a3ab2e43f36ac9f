"""Benchmarks and the soak test of prolific_async; README.md in this folder lists the programs."""
