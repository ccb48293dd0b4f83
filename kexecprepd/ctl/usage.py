# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the command line by its letter, and answers what is misspelt with what is like it."""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from .exits import Exit
from .terminal import fitted, width

# What argparse says of a value that is none of its choices, whichever quotes it has for those.
_NO_CHOICE = re.compile(r"argument (.*?): invalid choice: '(.*?)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """No option may be abbreviated: a later one would make the short form mean two."""

    def __init__(self, **settings: Any) -> None:
        self._options: list[str] = []
        self._hidden: list[str] = []
        super().__init__(**{"allow_abbrev": False, **settings})

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """As argparse has it."""
        shown = settings.get("help") != argparse.SUPPRESS
        options = self._options if shown else self._hidden
        options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        """End with 2. A word that is like one that there is has that named."""
        if found := _NO_CHOICE.search(message):
            argument, word, choices = found.groups()
            known = re.findall(r"[\w-]+", choices)
            message = f"{argument} cannot be '{word}'. {_like(word, known)}".rstrip()
            if not message.endswith("?"):
                message = f"{message} It is one of {', '.join(known)}."
        from .output import printable  # late: who spells it right need not wait

        self.print_usage(sys.stderr)
        told = fitted(f"{self.prog}: error: {printable(message, unicode=True)}", width(sys.stderr))
        self.exit(Exit.USAGE, f"{told}\n")

    def require_known(self, words: Iterable[str]) -> None:
        """End with 2 where one of the options before all else is not known: what follows it would
        be taken for a command.
        """
        for word in words:
            if not word.startswith("--") or word == "--":
                return
            if word.partition("=")[0] not in (*self._options, *self._hidden):
                self.refuse([word], "", {})

    def refuse(
        self, words: Iterable[str], command: str, of_commands: Mapping[str, "Parser"]
    ) -> NoReturn:
        """End with 2 for words that neither this parser nor that of the command knows."""
        word, *_ = words
        parser = of_commands.get(command, self)
        if not word.startswith("-"):
            parser.error(f"There is one word too many: {word!r}.")
        name = word.partition("=")[0]
        if name in self._options:
            parser.error(f"{name} stands before the command.")
        others = [each for each, its in of_commands.items() if name in its._options]
        if others:
            parser.error(f"{command} has no option {name}: that is for {', '.join(others)}.")
        known = {*self._options, *parser._options}
        parser.error(f"There is no option {name}. {_like(name, known)}".rstrip())


def _like(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # late, too

    found = get_close_matches(word, sorted(known), n=1)
    return f"Did you mean {found[0]}?" if found else ""
