"""The kernel: exact integers of a paid plan, bucket by bucket."""
