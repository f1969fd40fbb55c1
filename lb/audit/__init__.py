"""WHAT was said? Prompts and answers, recorded where that is switched on.

The relay only keeps references (`capture`) and hands them to a process of its own (`feed`), the clerk. There they are
read, redacted, bounded and written (`clerk`, `records`, `sinks`), so that no prompt however large, no pattern however
slow and no sink however stuck takes time from the event loop.
"""
