"""What tests of the CNTK engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.converters.cntk.environment import Environment
from tests.converters.cntk.cntk_environment import environment_or_skip


@pytest.fixture(scope="session")
def cntk_environment() -> Environment:
    """The installed CNTK environment."""
    return environment_or_skip()


@pytest.fixture(scope="session")
def worker(cntk_environment: Environment) -> Iterator[Worker]:
    """One running worker for all tests that only compute with it."""
    started = Worker(cntk_environment, threads=1, timeout=60.0)
    yield started
    started.close()
