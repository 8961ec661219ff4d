"""Shared fixtures: none of them stands in for a part of the house."""
