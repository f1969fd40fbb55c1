"""`python -m lb.demo.tied ARGUMENTS`: `lb ARGUMENTS` whose life is tied to its parent's.

The parent holds the other end of our standard input and never writes. However it dies, the system closes that end: this
works for every signal and on every platform, where process groups and parent-death signals do not.
"""

import os
import signal
import sys
import threading

from lb.cli import main

GRACE_SECONDS = 5.0
"""How long an orderly end may take once the parent is gone."""


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="tie", daemon=True).start()
    main(args=sys.argv[1:], prog_name="lb")
