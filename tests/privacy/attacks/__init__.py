"""Attacks on answers: each says what it recovers from a broken variant and from the real path."""
