# SPDX-License-Identifier: LGPL-2.1-or-later
"""JSON against its schemas, without the freedom that these leave to the future."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "kexecprepd/ctl/schemas"
_OTHERS = ("common", "snapshot")
VERBS = sorted(each.stem for each in SCHEMAS.glob("*.json") if each.stem not in _OTHERS)


def schema(verb: str) -> dict[str, Any]:
    """A verb's schema with all that it refers to within."""
    whole: dict[str, Any] = json.loads(_text(verb).replace('"common.json#', '"#'))
    common = json.loads(_text("common"))["$defs"]
    return {**whole, "$defs": {**common, **whole.get("$defs", {})}}


def conform(verb: str, shown: Any) -> None:
    """Raises jsonschema's ValidationError where what is shown is something else, or more."""
    closed = _closed(schema(verb))
    Draft202012Validator.check_schema(closed)
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(closed, format_checker=checker).validate(shown)


def _text(name: str) -> str:
    return (SCHEMAS / f"{name}.json").read_text("utf-8")


def _closed(part: Any) -> Any:
    """The same schema, in which objects have no other members than those that it names."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _closed(each) for name, each in part.items()}
    if "properties" in part and part.get("type") == "object":
        closed["additionalProperties"] = False
    return closed
