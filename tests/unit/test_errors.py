# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree of errors: one, and as it is drawn."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import kexecprepd
from kexecprepd.core import errors
from kexecprepd.core.errors import KexecprepdError

_BRANCH = re.compile(r"^ {4}([│ ├└─]*)(\w+)(?: +([\w.]+))?", re.MULTILINE)


def errors_of_the_package() -> Iterator[type[BaseException]]:
    """Every exception that a module of the package defines."""
    for each in pkgutil.walk_packages(kexecprepd.__path__, "kexecprepd."):
        for value in vars(importlib.import_module(each.name)).values():
            defined = isinstance(value, type) and value.__module__ == each.name
            if defined and issubclass(value, BaseException):
                yield value


def drawn() -> Iterator[tuple[str, str, str]]:
    """Each error of the picture: the one that it hangs on, its name, and its module."""
    above: list[str] = []
    for indent, name, module in _BRANCH.findall(errors.__doc__ or ""):
        depth = len(indent) // 4
        if name == KexecprepdError.__name__:
            above = [name]
        elif above and depth:
            above[depth:] = [name]
            yield above[depth - 1], name, f"kexecprepd.{module}"


def test_every_error_hangs_on_the_tree_as_it_is_drawn() -> None:
    found = {
        (kind.__bases__[0].__name__, kind.__name__, kind.__module__)
        for kind in errors_of_the_package()
        if kind is not KexecprepdError
    }
    assert found == set(drawn())


def test_a_reason_becomes_a_sentence_where_a_kind_has_a_beginning_for_it() -> None:
    class LostError(KexecprepdError):
        LEAD = "It is lost"

    lost = LostError("nobody knows where", "Look for it.", denied=True)

    assert str(lost) == lost.sentence == "It is lost: nobody knows where."
    assert (lost.reason, lost.hint, lost.denied) == ("nobody knows where", "Look for it.", True)
    assert KexecprepdError("It is gone.").sentence == "It is gone."
