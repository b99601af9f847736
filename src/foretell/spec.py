"""Short names with settings, as they are written in a shell: `nb201?channels=8,cells=1`."""

import json
from typing import Any

from foretell.errors import ForetellError

__all__ = ["parse_spec"]


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """The name before the question mark, and the settings behind it.

    Values are read as JSON where they are JSON, as text otherwise.

    >>> parse_spec("nb201?channels=8,variant=reference")
    ('nb201', {'channels': 8, 'variant': 'reference'})
    >>> parse_spec("digits")
    ('digits', {})
    """
    name, _, rest = text.partition("?")
    settings: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ForetellError(
                f"{item!r} in {text!r} is no setting; write name?key=value,key=value"
            )
        settings[key] = _read(value)
    return name, settings


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(value, value)
