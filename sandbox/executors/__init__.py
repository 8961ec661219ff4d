"""Executors: where a kernel runs over the buckets."""
