"""HOW do replicas agree? Through Redis, ahead of time and behind the requests; nobody waits for it."""
