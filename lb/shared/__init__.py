"""HOW do workers agree? Memory, locks and pipes that a family of forked processes has in common."""
