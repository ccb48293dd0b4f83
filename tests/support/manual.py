# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the manual pages' sources apart."""

import re
from pathlib import Path

MAN = Path(__file__).parents[2] / "man"


def section(page: str, heading: str) -> str:
    """One section of a page's source, as text without fonts and escapes."""
    source = (MAN / page).read_text()
    found = re.search(rf"^\.SH {heading}\n(.*?)(?=^\.SH |\Z)", source, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {heading}"
    return re.sub(r"\\f[BIR]", "", found[1]).replace("\\-", "-")


def examples(page: str) -> list[str]:
    """What a page shows of a terminal or of a file, each as it is printed."""
    source = (MAN / page).read_text().replace("\\\n", "")
    return [_plain(each) for each in re.findall(r"^\.EX\n(.*?)^\.EE$", source, re.M | re.S)]


def _plain(source: str) -> str:
    text = re.sub(r"\\f[BIRP]", "", source)
    for escape, meant in (("\\-", "-"), ("\\(aq", "'"), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(escape, meant)
    return text


def tags(page: str, heading: str) -> list[str]:
    """The tags of a section's lists, without macros and quotes."""
    lines = re.findall(r"^\.TP\n(.*)", section(page, heading), re.MULTILINE)
    texts = (re.sub(r"^\.[BI]+R? ", "", line).replace('"', "") for line in lines)
    return [" ".join(text.split()) for text in texts]
