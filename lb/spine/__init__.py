"""The parts of the story that `lb.gateway` and `lb.failover` tell: one attempt, its opening, the waiting, the end."""
