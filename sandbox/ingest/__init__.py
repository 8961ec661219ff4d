"""Ingest: from a manifest and a source to a bucketed, tiered, sealed, immutable version."""
