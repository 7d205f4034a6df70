"""The simulated troubles of a night would fill pages of log; only what nobody expects is shown."""

from collections.abc import Generator

import pytest
import structlog


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()
