"""What the product costs in time, memory, size and calls, each beside its floor: `make bench`, docs/benchmarks.md."""
