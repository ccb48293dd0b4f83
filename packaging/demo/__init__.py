# SPDX-License-Identifier: LGPL-2.1-or-later
"""What packaging/run shows: `python3 -m demo.here` and `-m demo.in_guest SUITE`, in packaging/."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

# The program and its test libraries stand beside packaging/.
sys.path.insert(0, str(CHECKOUT))
