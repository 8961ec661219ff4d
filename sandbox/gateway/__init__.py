"""The gateway: HTTP in front of the flow, without rules of its own."""
