# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that lists what would boot here: entries."""

from argparse import Namespace

from ..loader.entries import NOTHING, as_json
from .exits import Exit
from .load import in_words
from .output import layout, note, print_json, printable, table, unicode_wanted
from .wanted import find_entries


@in_words()
def entries(options: Namespace) -> Exit:
    """List the boot entries, with the default one and the one that runs."""
    found = find_entries(options.root)
    if options.json != "off":
        print_json({"entries": as_json(found)}, options.json)
    elif found.entries:
        unicode = unicode_wanted()
        rows = [
            (
                " ".join(
                    word
                    for word, is_so in (
                        ("default", each == found.default),
                        ("running", each == found.running),
                    )
                    if is_so
                ),
                printable(each.id, unicode=unicode),
                printable(each.title, unicode=unicode),
                printable(str(each.kernel), unicode=unicode),
            )
            for each in found.entries
        ]
        heading = ("", "ID", "TITLE", "KERNEL")
        print(table(heading, rows, frozenset(), layout(options), elastic=(1, 2, 3)))
    else:
        print(NOTHING)
    for sentence in found.notes:
        note(printable(sentence, unicode=unicode_wanted()), quiet=options.quiet)
    return Exit.OK
