"""Row expressions: typed, total, in exact integers, and how they are written for the engine."""
