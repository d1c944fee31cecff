"""The CNTK environment for tests that need the real engine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from neuromatic.converters.cntk import environment
from neuromatic.converters.cntk.environment import Environment
from neuromatic.errors import EngineNotAvailableError


def skip_or_fail(reason: str) -> NoReturn:
    """Skip a test with a reason; on continuous integration nothing that CNTK is needed for may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def environment_or_skip() -> Environment:
    """The installed environment; without one the test is skipped, or fails on continuous integration."""
    try:
        return environment.require()
    except EngineNotAvailableError as error:
        skip_or_fail(f"no CNTK environment: {error}")
