"""The log's values: events, records, tree, checkpoints, and the verifier that runs alone."""
