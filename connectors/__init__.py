"""Connectors: one module per kind of source; each knows ports, catalog and errors only."""
