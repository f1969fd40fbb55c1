"""WHAT may an operator see and switch? On a listener of its own, never on the traffic port."""
