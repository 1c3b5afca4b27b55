"""Measures the product's time, memory, size and calls, and compares each with its floor: `make bench`,
docs/benchmarks.md.
"""
