"""Benchmarks, each beside its peer or its limit, measured in one run: `python -m bench list`."""
