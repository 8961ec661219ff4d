"""The release: noise on exact integers, and answers made from noisy ones alone."""
