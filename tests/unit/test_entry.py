# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boot entries: what their files say, and the order and the choice of boot loaders."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexecprepd.loader.entry import (
    Counted,
    Entry,
    Kind,
    counted,
    expanded,
    in_grub_order,
    in_menu_order,
    matching,
    parse_entry,
    parse_loader_conf,
    saved,
)
from tests.support.made_up import EXAMPLES


def entry(name: str, **fields: Any) -> Entry:
    return Entry(name, Kind.TYPE1, fields.pop("title", name), Path("/vmlinuz"), **fields)


def test_an_entry_s_file_is_keys_and_values_a_line() -> None:
    described = parse_entry(
        "# a comment\ntitle\tDebian GNU/Linux 13\n\nlinux   /a b/linux\ninitrd /one\n"
        "initrd /two\noptions root=/dev/sda1\noptions quiet \nversion\n"
    )

    assert described.values == {"title": "Debian GNU/Linux 13", "linux": "/a b/linux"}
    assert described.initrds == ("/one", "/two")
    assert described.options == "root=/dev/sda1 quiet"


def test_without_options_there_are_none() -> None:
    assert parse_entry("linux /vmlinuz").options is None


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("debian", Counted("debian", None, 0)),
        ("debian+3", Counted("debian", 3, 0)),
        ("debian+0-3", Counted("debian", 0, 3)),
        ("6.1+deb12", Counted("6.1+deb12", None, 0)),
        ("a+1+2", Counted("a+1", 2, 0)),
        ("+3", Counted("+3", None, 0)),
    ],
)
def test_how_often_an_entry_may_be_tried_is_no_part_of_its_name(
    stem: str, expected: Counted
) -> None:
    assert counted(stem) == expected


def test_entries_with_sort_keys_come_first_by_them_with_the_newest_version_first() -> None:
    entries = [
        entry("zzz.conf"),
        entry("old.conf", sort_key="debian", version="6.1.0-9"),
        entry("new.conf", sort_key="debian", version="6.1.0-10"),
        entry("other.conf", sort_key="debian", version="7", machine_id="b"),
        entry("arch.conf", sort_key="arch", version="1"),
        entry("bad.conf", sort_key="arch", version="2", tries_left=0, tries_done=3),
        entry("aaa.conf"),
    ]

    assert [each.id for each in in_menu_order(entries)] == [
        "arch.conf",
        "new.conf",
        "old.conf",
        "other.conf",
        "zzz.conf",
        "aaa.conf",
        "bad.conf",
    ]


def test_of_two_with_one_name_the_one_with_more_tries_comes_first() -> None:
    entries = [entry("a.conf", tries_left=left, tries_done=done) for left, done in ((1, 2), (3, 0))]

    assert [each.tries_left for each in in_menu_order(entries)] == [3, 1]


def test_grub_orders_by_names_from_the_newest() -> None:
    entries = [entry("id-5.14.0-70.conf"), entry("id-5.14.0-162.conf"), entry("id-0-rescue.conf")]

    assert [each.id for each in in_grub_order(entries)] == [
        "id-5.14.0-162.conf",
        "id-5.14.0-70.conf",
        "id-0-rescue.conf",
    ]


def test_a_pattern_matches_without_regard_to_case() -> None:
    entries = [entry("Arch.conf"), entry("debian-6.1.conf"), entry("debian-5.conf")]

    assert matching(entries, "DEBIAN-*") is entries[1]
    assert matching(entries, "arch.conf") is entries[0]
    assert matching(entries, "debian") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("one", 0), ("two.conf", 1), ("The second", 1), ("1", 1), ("2", None), ("", None)],
)
def test_grub_s_saved_entry_is_an_id_a_title_or_a_number(name: str, expected: int | None) -> None:
    entries = [entry("one.conf"), entry("two.conf", title="The second")]

    found = saved(entries, name)

    assert found is (None if expected is None else entries[expected])


def test_loader_conf_prefers_before_it_defaults() -> None:
    assert parse_loader_conf("timeout 3\ndefault debian-*\npreferred arch-*\n") == (
        "arch-*",
        "debian-*",
    )
    assert parse_loader_conf("#default x\n") == ()


def test_grub_s_variables_are_filled_in_and_unset_ones_are_empty() -> None:
    text = "$kernelopts ${tuned_params} x=$y.z $1"

    assert expanded(text, {"kernelopts": "root=/dev/sda1", "y": "1"}) == "root=/dev/sda1  x=1.z $1"


@EXAMPLES
@given(st.text(), st.text())
def test_whatever_a_file_says_it_is_read(text: str, stem: str) -> None:
    parse_entry(text)
    assert stem.startswith(counted(stem).name)
