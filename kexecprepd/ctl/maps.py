# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that shows both maps: as a table and a drawing, as JSON, or as a picture."""

from argparse import Namespace

from . import map_picture, map_view
from .commands import source_of
from .destination import Destination
from .exits import Exit
from .output import layout, note, print_json, size, unicode_wanted
from .picture import WIDTH


def show_map(options: Namespace) -> Exit:
    """The runtime map beside the memory map, and memory with both in it."""
    source = source_of(options)
    regions, ranges = source.runtime_map(), source.memory_map()
    if options.svg is not None:
        from .map_svg import svg

        return _save(options, svg(regions, ranges, source.findings()))
    if options.json != "off":
        print_json(map_view.as_json(regions, ranges), options.json)
    elif regions or ranges:
        wanted = layout(options)
        print(map_view.as_table(regions, ranges, wanted))
        ram = sum(each.end - each.start + 1 for each in ranges if each.is_ram)
        print(f"\nMemory, {size(max(ram, 0))} of System RAM:\n")
        found = source.findings()
        columns = min(wanted.columns or WIDTH, WIDTH)
        print(map_picture.drawn(regions, ranges, found, unicode=unicode_wanted(), width=columns))
        if not regions:
            sentence = "The kernel has no runtime map; `kexecprepctl status` says why."
            note(sentence, quiet=options.quiet)
    else:
        sentence = "The kernel shows neither a runtime map nor a memory map."
        note(sentence, quiet=options.quiet)
    return Exit.OK


def _save(options: Namespace, picture: bytes) -> Exit:
    destination = Destination(options.svg, options.json)
    destination.write(picture)
    if destination.is_stdout:
        return Exit.OK
    if options.json != "off":
        print_json({"file": options.svg, "size": len(picture)}, options.json)
    elif not options.quiet:
        print(f"{options.svg}: {len(picture)} bytes")
    return Exit.OK
