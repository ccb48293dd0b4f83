# SPDX-License-Identifier: LGPL-2.1-or-later
"""Build the guest image of a Debian suite; ends with words, and without leftovers, if it cannot."""

import sys

from tests.lab.image import ImageError, get_image

from .stages import Stopped, stop_on_signals


def main() -> int:
    """Build the image of the suite that the command line names, unless the cache has it."""
    stop_on_signals()
    try:
        get_image(sys.argv[1])
    except (ImageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except Stopped as stop:
        return 128 + stop.number
    return 0


if __name__ == "__main__":
    sys.exit(main())
