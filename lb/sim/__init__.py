"""A believable throttled Azure OpenAI endpoint. It shares no code with the balancer, so it shares no mistakes."""

from lb.sim.settings import Limit, Settings, Span
from lb.sim.simulator import Simulator

__all__ = ["Limit", "Settings", "Simulator", "Span"]
