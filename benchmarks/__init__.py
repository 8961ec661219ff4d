"""Benchmarks: speed and memory against bare DuckDB in the same run, written to docs/performance.md."""
