"""The command line: remote verbs over HTTP, local verbs on a home."""
