"""The committee: applications for one scenario each, the owners' consents, the votes, and the grants that follow."""
