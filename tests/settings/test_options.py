"""The declaration of an option says everything that anybody needs to know of it."""

import pytest

from etlplus.settings import load_settings
from etlplus.settings.options import Option, options


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_every_option_has_a_sentence_a_unit_and_says_what_it_accepts(option: Option):
    """A reader of the reference page is left with no question."""
    assert option.sentence.endswith(".")
    assert option.unit
    assert option.accepts


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_every_option_can_be_set_by_its_variable(option: Option):
    """The default, written as text into the environment, reads back as itself."""
    settings = load_settings(environ={option.variable: str(option.default)})
    value = settings
    for name in option.path:
        value = getattr(value, name)
    assert value == option.default
    assert type(value) is type(option.default)
