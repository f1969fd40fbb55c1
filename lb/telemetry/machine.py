"""What the operating system says of this process."""

import os
import resource
from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE")


def process_rows(started: float) -> dict[str, list[list[Any]]]:
    """Rows of a snapshot. `started` is in seconds since 1970. What the system does not tell is left out."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    rows: dict[str, list[list[Any]]] = {
        "process_cpu_seconds_total": [[spent.ru_utime + spent.ru_stime]],
        "process_start_time_seconds": [[started]],
        "process_max_fds": [[resource.getrlimit(resource.RLIMIT_NOFILE)[0]]],
        "lb_workers": [[1]],
    }
    try:
        with open("/proc/self/statm", "rb") as statm:
            rows["process_resident_memory_bytes"] = [[int(statm.read().split()[1]) * _PAGE]]
        rows["process_open_fds"] = [[len(os.listdir("/proc/self/fd"))]]
    except OSError:
        pass  # not Linux
    return rows
