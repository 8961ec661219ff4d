"""The language: SQL text to a small tree of names, each with its place in the text."""
