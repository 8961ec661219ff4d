"""Peers: the same Parquet and the same questions through other private libraries, each in an environment of its own."""
