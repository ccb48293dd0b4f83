# SPDX-License-Identifier: LGPL-2.1-or-later
"""Why a kernel is not loaded, in words."""

from ..core.errors import KexecprepdError


class LoadError(KexecprepdError):
    """Nothing was loaded: a sentence that says what was wrong and where, a hint what to do."""
