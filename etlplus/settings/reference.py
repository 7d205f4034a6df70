"""
The reference page of all options, written from their declaration.

``python -m etlplus.settings.reference > docs/configuration.md`` writes it anew.
"""

from __future__ import annotations

import sys

from etlplus.settings.options import Option, options

_HEAD = """\
# Configuration

etlplus needs no configuration. What can be chosen is listed here; the page is written from the declarations in
`etlplus/settings/schema.py`, and a test fails when the two differ.

A value is taken from the strongest source that gives one: flags (`--set KEY=VALUE`), then the environment, then the file
(`--config FILE`, or the variable `ETLPLUS_CONFIG`), then the default. `etlplus config check FILE` says what is wrong in a file,
with line, column and what is accepted; `etlplus config show` says which value holds and who set it.

`PORT` sets `server.port` where a platform insists on that name. A secret can be kept in a file of its own: append `_FILE` to
its variable and name the file.

| Key | Default | Unit | Accepted | Meaning |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    return _HEAD + "".join(map(_row, options())) + _VARIABLES_HEAD + "".join(map(_variable, options()))


_VARIABLES_HEAD = """
## Environment

| Key | Variable |
|---|---|
"""


def _row(option: Option) -> str:
    value = str(option.default).lower() if isinstance(option.default, bool) else option.default
    default = "empty" if value == "" else f"`{value}`"
    return f"| `{option.key}` | {default} | {option.unit} | {option.accepts} | {option.sentence} |\n"


def _variable(option: Option) -> str:
    secret = f" or `{option.variable}_FILE`" if option.secret else ""
    return f"| `{option.key}` | `{option.variable}`{secret} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
