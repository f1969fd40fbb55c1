"""Builds the package; with `LB_COMPILE=1`, the modules that every request runs through as C, by mypyc.

The same source then takes about half the instructions (docs/decisions/0009-compiled.md). It needs a C compiler, the
packages in requirements/compile.txt, and a few minutes. Without it, or on another interpreter, all runs as it is.
"""

import os

from setuptools import setup

COMPILED = {
    "": "events exchange failover gateway refusal",
    "balancing": """
        affinity asker attempt backend budget health json_scan learning model_field model_scan policy pool routing
        scenes stream_verdict table transitions verdict
    """,
    "metering": "budget deltas estimate meter quota reckoning replies sse streams tail tap tenant usage",
    "spine": "admission asking binding conclusion kept opening permits watching",
    "telemetry": "lines metrics recent rendering tallies text writer",
    "telemetry/otel": "alike details encoding exporting recording sampling spans tracing",
    "wire": """
        budget callers chunked connection connections credentials front head head_reader headers hub line pages
        plain_head relay repeats reply reply_reader reply_rules request request_line request_writer serving target
        transport turns
    """,
}
"""By room. What is not here is seldom run, or cannot be compiled: asynchronous generators, subclasses of `bytes`, `str`
and `list`, and what tests replace by half of it. A class outside cannot inherit from one in here."""


def extensions() -> list[object]:
    """Nothing, unless compiling was asked for."""
    if os.environ.get("LB_COMPILE") != "1":  # noqa: TID251 - the one switch of the build
        return []
    from mypyc.build import mypycify

    paths = [os.path.join("lb", room, f"{name}.py") for room, names in COMPILED.items() for name in names.split()]
    return list(mypycify(paths, opt_level="2", debug_level="0"))


setup(ext_modules=extensions())
