# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is missing, and what may not be looked at, are not the same."""

from pathlib import Path

import pytest

from kexecprepd.reading.there import is_there
from tests.support.nobody import unprivileged


def test_what_is_there_is_told_from_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert is_there(tmp_path)
    assert is_there(tmp_path / "file")
    assert not is_there(tmp_path / "other")
    assert not is_there(tmp_path / "file" / "within")


def test_a_link_to_itself_leads_nowhere(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    assert not is_there(loop)


def test_what_may_not_be_looked_at_is_not_called_missing(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)

    with unprivileged(), pytest.raises(PermissionError):
        is_there(closed / "file")
