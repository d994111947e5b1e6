"""Measurements, each against its rival in the same run; `python -m benchmarks` as root."""
