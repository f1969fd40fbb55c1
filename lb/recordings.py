"""The audit of one process, put together from a configuration: part of the composition root, as `exports` is."""

import random
from collections.abc import Callable
from pathlib import Path

from lb.audit.capture import Auditing
from lb.audit.choice import Choice, Sampling, Who
from lb.audit.feed import Feed, Say
from lb.config import Config
from lb.spine.watching import Watch


class Recordings:
    """Captures what is to be recorded, and the way to the clerk that writes it."""

    def __init__(self, auditing: Auditing, feed: Feed) -> None:
        self.observer = auditing
        self.feed = feed

    def watches(self, config: Config) -> list[Watch]:
        """Who looks at replies, by this configuration's choice of tenants."""
        self.observer.choice = _choice(config)
        return [self.observer.watch] if self.observer.choice.anybody else []


def open_recordings(
    config: Config, say: Say, line: Callable[[bytes], bool], wall: Callable[[], float], worker: int | None
) -> Recordings | None:
    """None where nothing is recorded. `line` takes records that go to stdout, or says that it did not; `worker` is this
    one's number, from 0, where there are several."""
    if config.audit.to == "off":
        return None
    feed = _feed(config, say, line, worker)
    return Recordings(Auditing(feed, wall, Sampling(random.SystemRandom()), _choice(config)), feed)


def _feed(config: Config, say: Say, line: Callable[[bytes], bool], worker: int | None) -> Feed:
    audit = config.audit
    file = Path(audit.file) if audit.file else None
    if file is not None and worker is not None:  # each has a file of its own
        file = file.with_name(f"{file.stem}.{worker + 1}{file.suffix}")
    settings = {
        **audit.model_dump(include={"to", "file_bytes", "file_count", "file_daily", "url", "hook", "field_bytes"}),
        "file": str(file),
        "connection_string": audit.connection_string and audit.connection_string.get_secret_value(),
        "client_id": config.platform.azure_client_id,
        "redact": audit.redact or {},
        "record_bytes": audit.record_most,
    }
    return Feed(settings, audit.queue_bytes, say, line)


def _choice(config: Config) -> Choice:
    """Whose requests are recorded."""
    by_tenant = {tenant.name: Who(tenant.audit) for tenant in config.tenants if tenant.audit is not None}
    return Choice(Who(config.audit.who), config.audit.sample, by_tenant)
