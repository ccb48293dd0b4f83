# SPDX-License-Identifier: LGPL-2.1-or-later
"""The errors that go over the wire: org.kexecprepd1.Error.* and nothing else of ours."""

from ..core.errors import KexecprepdError

PREFIX = "org.kexecprepd1.Error."


class BusError(KexecprepdError):
    """A refusal in words, sent to the caller under `name`."""

    name = PREFIX + "Failed"


class Failed(BusError):
    """It could not be done, for a reason that is none of the others'."""


class Invalid(BusError):
    """The map failed validation; the text names the findings."""

    name = PREFIX + "Invalid"


class Unsupported(BusError):
    """There is nothing to hand over on this system; the text says why."""

    name = PREFIX + "Unsupported"


class AccessDenied(BusError):
    """The caller is not root."""

    name = PREFIX + "AccessDenied"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, denied=True)


class InvalidArgs(BusError):
    """The arguments make no sense; the text says which and why."""

    name = PREFIX + "InvalidArgs"
