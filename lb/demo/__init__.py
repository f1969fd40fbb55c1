"""`lb demo`: three throttled endpoints, the balancer, and traffic by the official SDK, to look at."""

from importlib.util import find_spec

import click

from lb.extras import to_install

MISSING = 2


def run(keep: bool, seconds: float, tenants: bool = False) -> int:
    """Play the demo, sending for `seconds`; with `keep` everything then stays until Ctrl-C. `tenants` is the one about
    budgets. Returns the exit code."""
    if find_spec("openai") is None:
        click.echo(f"lb: the demo needs the openai package, which is missing: {to_install('demo')}", err=True)
        return MISSING
    if tenants:
        from lb.demo.tenants import present as present_tenants

        return present_tenants(keep, seconds)
    from lb.demo.show import present

    return present(keep, seconds)
