# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a terminal shows well: how wide it is, whether it wants colours, and lines that fit."""

import os
import re
from collections.abc import Iterator
from typing import IO

_DEFAULT_WIDTH = 80
"""Columns of a terminal that does not tell, as a serial line does."""

_STYLE = re.compile(r"\033\[[0-9;]*m")

_STYLES = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
    "grey": "90",
    "underlined": "4",
}
"""Parameters of SGR (ECMA-48, 8.3.117) by our names."""

# `Name: value` with a name of one or two words, or `name   value` as in a list.
_LABEL = re.compile(r" *\w+(?: \w+)?: +(?=\S)| *\S.{0,24}? {2,}(?=\S)")
_WORD = re.compile(r"( *)(\S+)")


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether somebody looks at it; None is a stream that was closed before Python began."""
    return stream is not None and stream.isatty()


def width(stream: IO[str] | None) -> int | None:
    """How many columns a stream's terminal has, None where it is none: nothing needs to fit then.

    COLUMNS comes first, as with systemd's tools.
    """
    if stream is None or not is_terminal(stream):
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except OSError:
        return _DEFAULT_WIDTH


def styled(text: str, style: str, stream: IO[str] | None) -> str:
    """Text in a style, where the stream is a terminal that wants colours.

    Source: no-color.org, by which an empty NO_COLOR is none.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not style or not is_terminal(stream):
        return text
    return f"\033[{_STYLES[style]}m{text}\033[0m"


def fitted(text: str, columns: int | None) -> str:
    """Text with its lines broken between words, where they are longer than the columns.

    What is broken goes on below the value, where a line begins with a name, and else below its
    first word. A word that is longer than that stays whole.
    """
    if columns is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _broken(line, columns))


def _broken(line: str, columns: int) -> Iterator[str]:
    if _length(line) <= columns:
        yield line
        return
    bare = _STYLE.sub("", line)
    label = _LABEL.match(bare)
    margin = label.end() if label else len(bare) - len(bare.lstrip())
    margin = margin if margin <= columns // 2 else 2
    part = ""
    for blanks, word in _WORD.findall(line):
        if part.strip() and _length(part + blanks + word) > columns:
            yield part
            part = " " * margin + word
        else:
            part += blanks + word
    yield part


def _length(text: str) -> int:
    return len(_STYLE.sub("", text))
