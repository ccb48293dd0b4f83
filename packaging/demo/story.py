# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the demonstrations speak: paragraphs, and commands with what they printed."""

import hashlib
import json

MANAGER = "org.kexecprepd1 /org/kexecprepd1 org.kexecprepd1.Manager"
WIDTH = 100


def say(text: str) -> None:
    """A paragraph for the reader."""
    print(f"\n{text}", flush=True)


def typed(prompt: str, command: str) -> None:
    """A command as a user would type it."""
    print(f"\n{prompt} {command}", flush=True)


def printed(output: str, *, width: int | None = None) -> None:
    """What a command printed; lines cut at `width`."""
    for line in output.splitlines():
        print(line if width is None or len(line) <= width else f"{line[:width]}...", flush=True)


def digest(reply: str) -> None:
    """How long the image in GetSetupData's answer is, and its digest, as counted here."""
    image = bytes(json.loads(reply)["data"][0])
    print(f"-> {len(image)} bytes, sha256 {hashlib.sha256(image).hexdigest()}", flush=True)
