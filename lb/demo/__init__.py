"""`lb demo`: three throttled endpoints, the balancer, and traffic by the official SDK, to look at."""

from importlib.util import find_spec

import click

MISSING = 2


def run(keep: bool, seconds: float) -> int:
    """Play the demo, sending for `seconds`; with `keep` everything then stays until Ctrl-C. Returns the exit code."""
    if find_spec("openai") is None:
        click.echo("lb: the demo needs the openai package, which is missing: pip install 'openai-lb[demo]'", err=True)
        return MISSING
    from lb.demo.show import present

    return present(keep, seconds)
