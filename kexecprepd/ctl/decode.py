# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that explains a file that is handed from kernel to kernel, field by field."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.decoding import Decoded, DecodeError, Item, decode, of_receipt, payload
from ..reading import small
from ..reading.archive import MAGIC, RecordingError, load
from ..reading.tree import ReadError, Tree, printable, words_of
from .exits import CtlError, Exit, failed
from .here import require_here
from .output import Layout, layout, plural, print_json, table
from .output import printable as shown

_HINT = (
    "It explains an image, boot_params, the folder of a setup_data node, a receipt, a "
    "snapshot.json or a recording."
)

_DEEPEST = 100
"""Levels of JSON that are explained."""

_READ_AT_A_GLANCE = 0xFFFF_FFFF
"""What is larger is an address or a set of flags, and of no use in decimal."""


def explain(options: Namespace) -> Exit:
    """Take a file apart, and print its fields."""
    require_here(options)
    path = Path(options.file)
    try:
        decoded = _node(path) if path.is_dir() else _file(options.file)
    except OSError as error:
        sentence = f"{printable(path)} cannot be read: {words_of(error)}."
        code = Exit.DENIED if isinstance(error, PermissionError) else Exit.FAILED
        raise CtlError(code, sentence) from error
    except (ReadError, RecordingError) as error:
        raise failed(error) from error
    except DecodeError as error:
        sentence = f"{printable(path)} cannot be explained. {error.sentence}"
        raise CtlError(Exit.FAILED, sentence, _HINT) from error
    if options.json != "off":
        print_json(_as_json(decoded), options.json)
        return Exit.OK
    print(f"{printable(path)}: {decoded.kind}\n")
    print(_as_table(decoded.items, layout(options)))
    for note in decoded.notes:
        print(f"\nNote: {note}")
    return Exit.OK


def _as_table(items: Sequence[Item], wanted: Layout) -> str:
    """The fields, without the columns that tell of none of them: of the files of a recording there
    is but their size.
    """
    heading = ("OFFSET", "SIZE", "FIELD", "VALUE", "MEANING")
    rows = [
        (f"{i.offset:#x}", str(i.size), shown(i.name), _value(i), shown(i.meaning)) for i in items
    ]
    told = [any(row[n] not in ("", "0", "0x0") for row in rows) for n in range(len(heading))]
    kept = [n for n in range(len(heading)) if told[n] or len(rows) < 2]
    return table(
        [heading[n] for n in kept],
        [[row[n] for n in kept] for row in rows],
        frozenset(kept.index(n) for n in kept if n < 2),
        wanted,
        elastic=[kept.index(n) for n in kept if n in (2, 4)],
    )


def _node(path: Path) -> Decoded:
    """A folder of /sys/kernel/boot_params/setup_data."""
    if not (path / "type").exists():
        raise DecodeError("It is a folder, and not that of a setup_data node: it has no type.")
    with Tree.open(path) as tree:
        kind = tree.hex("type")
        return Decoded(f"setup_data node of type {kind:#x}", payload(kind, _data(tree), 0))


def _data(tree: Tree) -> bytes:
    return tree.bytes("data", small.LIMIT)


def _file(name: str) -> Decoded:
    standard_input = name == "-"
    data = sys.stdin.buffer.read(small.LIMIT) if standard_input else small.contents(Path(name))
    if data.startswith(MAGIC):
        if standard_input:
            raise DecodeError("A recording is read from its file alone.")
        members = load(Path(name))
        items = [Item(0, len(content), name, "") for name, content in members.items() if content]
        return Decoded(f"recording of {plural(len(items), 'file')}", tuple(items))
    if data.lstrip().startswith(b"{"):
        return _of_json(data)
    return decode(data)


def _of_json(data: bytes) -> Decoded:
    try:
        content = json.loads(data)
        if "from-boot-id" in content:
            return Decoded("receipt", of_receipt(data))
        if "snapshot" in content and "generation" in content:
            return Decoded("snapshot.json", tuple(_members(content, "")))
    except (ValueError, RecursionError):
        raise DecodeError("It is JSON that is damaged.") from None
    raise DecodeError("It is neither a receipt nor a snapshot.json.")


def _members(value: Any, name: str, depth: int = 0) -> list[Item]:
    if depth > _DEEPEST:
        raise DecodeError("It is JSON that is deeper than any snapshot.json.")
    if isinstance(value, dict | list):
        named = value.items() if isinstance(value, dict) else enumerate(value)
        prefix = f"{name}." if name else ""
        return [item for key, each in named for item in _members(each, f"{prefix}{key}", depth + 1)]
    number = type(value) is int and value >= 0
    return [Item(0, 0, name, value if number else json.dumps(value).strip('"'))]


def _value(item: Item) -> str:
    if isinstance(item.value, str):
        return shown(item.value)
    if item.value > _READ_AT_A_GLANCE:
        return f"{item.value:#x}"
    return f"{item.value} ({item.value:#x})" if item.value > 9 else str(item.value)


def _as_json(decoded: Decoded) -> dict[str, Any]:
    return {
        "kind": decoded.kind,
        "fields": [
            {
                "offset": item.offset,
                "size": item.size,
                "name": item.name,
                "value": item.value,
                "value-hex": f"{item.value:#x}" if isinstance(item.value, int) else None,
                "meaning": item.meaning,
            }
            for item in decoded.items
        ],
        "notes": list(decoded.notes),
    }
