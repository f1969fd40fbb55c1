import resource
from collections.abc import Iterator

import pytest

from lb.process.listening import allow_many_connections


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_process_may_open_as_many_files_as_the_system_lets_it(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 256), hard))

    allow_many_connections()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
