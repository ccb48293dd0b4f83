# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon publishes is what dbus/ documents: compared as a whole."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kexecprepd.wire.names import LOG_CONTROL, MANAGER
from tests.support.daemon import Daemon

from .client import PATHS, Client

pytestmark = pytest.mark.bus

DBUS = Path(__file__).parents[2] / "dbus"
GDBUS_OWN = {
    "org.freedesktop.DBus.Properties",
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.Peer",
}


def normal(element: ElementTree.Element) -> Any:
    """An element as a value: the order counts for arguments alone."""
    attributes = dict(element.attrib)
    children = list(element)
    if element.tag == "arg":
        # A signal's arguments are "out" and a method's "in" where nothing else is said.
        attributes.setdefault("direction", "default")
    arguments = [normal(child) for child in children if child.tag == "arg"]
    others = sorted((normal(child) for child in children if child.tag != "arg"), key=repr)
    return (element.tag, sorted(attributes.items()), arguments, others)


def interfaces(xml: str) -> dict[str, Any]:
    nodes = ElementTree.fromstring(xml).findall("interface")
    return {node.attrib["name"]: normal(node) for node in nodes}


@pytest.mark.parametrize("interface", [MANAGER, LOG_CONTROL])
def test_the_published_interface_is_the_documented_one(
    daemon: Daemon, client: Client, interface: str
) -> None:
    published = interfaces(
        client.call(
            "Introspect", interface="org.freedesktop.DBus.Introspectable", path=PATHS[interface]
        )
    )
    documented = interfaces((DBUS / f"{interface}.xml").read_text())
    assert published[interface] == documented[interface]
    assert set(published) == {interface} | GDBUS_OWN
