"""Asking the backends whether they are what the configuration says, for `lb check --probe`."""
