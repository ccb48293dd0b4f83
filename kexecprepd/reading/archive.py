# SPDX-License-Identifier: LGPL-2.1-or-later
"""A recording as one file: a gzip-compressed tar archive, and back, from whoever it may be.

Of an archive only headers of plain files and folders are taken, each by itself, so that nothing in
it is a path that leads elsewhere, and no size in it is believed before it is known to be there.
"""

import gzip
import io
import json
import os
import tarfile
import zlib
from pathlib import Path

from ..core.errors import KexecprepdError
from ..core.recording import ABOUT, FORMAT, NAME, Members
from . import small
from .gather import LIMIT
from .tree import printable, words_of

MAGIC = b"\x1f\x8b"
"""What gzip's files begin with."""

_MOST = 20_000
"""Files and folders: a machine has hundreds, and one for each memory block."""

_BLOCK = tarfile.BLOCKSIZE
_UNPACKED = LIMIT + 2 * _BLOCK * _MOST + tarfile.RECORDSIZE
"""Bytes of a tar archive: contents, for each file or folder a header and what fills a block, and
what fills the last record.
"""

_PIECE = 1 << 16
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)


class RecordingError(KexecprepdError):
    """A file is no recording, or cannot be unpacked; the sentence names it."""


def pack(members: Members) -> bytes:
    """The archive's bytes: the same for the same members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.mode = 0o700 if content is None else 0o600
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return gzip.compress(buffer.getvalue(), mtime=0)


def load(path: Path) -> Members:
    """The members of the recording in a file. Raises RecordingError."""
    name = printable(path)
    try:
        return unpack(small.contents(path, LIMIT))
    except OSError as error:
        sentence = f"{name} cannot be read: {words_of(error)}."
        denied = isinstance(error, PermissionError)
        raise RecordingError(sentence, denied=denied) from error
    except ValueError as error:
        hint = "`kexecprepctl record FILE` makes one."
        raise RecordingError(f"{name} is no recording: {error}.", hint) from error


def unpack(data: bytes) -> Members:
    """The members of an archive. Raises ValueError, whose text says in words what is wrong."""
    members = _members(_decompressed(data))
    about = members.get(ABOUT)
    try:
        content = json.loads(about or b"")
    except (ValueError, RecursionError):
        raise ValueError(f"it has no {ABOUT} that says so") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    return members


def extract(path: Path, top: Path) -> None:
    """Make a recording the tree below an empty folder. Raises RecordingError."""
    members = load(path)
    try:
        for name, content in members.items():
            _put(top / name, content)
    except OSError as error:
        sentence = f"{printable(path)} cannot be unpacked: {words_of(error)}."
        raise RecordingError(sentence, "Look at the file system of $TMPDIR.") from error


def _put(path: Path, content: bytes | None) -> None:
    folder = path if content is None else path.parent
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if content is not None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(content)


def _decompressed(data: bytes) -> bytearray:
    """In pieces: all at once it would be twice in memory for a moment."""
    if not data.startswith(MAGIC):
        raise ValueError("it is not compressed by gzip")
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    content = bytearray()
    try:
        for at in range(0, len(data), _PIECE):
            if decompressor.eof:
                raise ValueError("something follows its end")
            piece = data[at : at + _PIECE]
            # At the end what is left stays in unconsumed_tail, whatever it is asked.
            while piece and not decompressor.eof:
                content += decompressor.decompress(piece, _PIECE)
                if len(content) > _UNPACKED:
                    raise ValueError(f"it unpacks to more than {_UNPACKED >> 20} MiB")
                piece = decompressor.unconsumed_tail
        content += decompressor.flush()
    except zlib.error:
        raise ValueError("its compressed data is damaged") from None
    if not decompressor.eof:
        raise ValueError("it ends too early")
    if decompressor.unused_data:
        raise ValueError("something follows its end")
    return content


def _members(archive: bytearray) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    above: set[str] = set()
    at = total = 0
    contents = memoryview(archive)
    while header := bytes(contents[at : at + _BLOCK]).rstrip(b"\0"):
        info = _header(header.ljust(_BLOCK, b"\0"))
        at += _BLOCK
        name = info.name.removeprefix("./").rstrip("/")
        if info.type == tarfile.DIRTYPE:
            content = None
        elif info.type in _FILES and 0 <= info.size <= len(archive) - at:
            total += info.size
            if total > LIMIT:
                raise ValueError(f"its files have more than {LIMIT >> 20} MiB")
            content = bytes(contents[at : at + info.size])
            at += -(-info.size // _BLOCK) * _BLOCK
        elif info.type in _FILES:
            raise ValueError(f"it ends within {printable(name)}")
        else:
            raise ValueError(f"{printable(name)} in it is neither a file nor a folder")
        if content is None and name in ("", "."):
            continue
        _require_place(name, content, found, above)
        found[name] = content
        if len(found) > _MOST:
            raise ValueError(f"it holds more than {_MOST} files")
    if at >= len(archive):
        raise ValueError("it ends too early")
    return dict(sorted(found.items()))


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "ascii", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        raise ValueError("it holds no tar archive, or a damaged one") from None


def _require_place(
    name: str, content: bytes | None, found: dict[str, bytes | None], above: set[str]
) -> None:
    """Refuse what does not lie below the top, or in another one's place.

    `above` are the folders that anything found lies in; those of this one are added.
    """
    parts = name.split("/")
    if not all(NAME.fullmatch(part) for part in parts):
        raise ValueError(f"the name {printable(name)} in it is none of a recording's")
    parents = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    in_a_file = any(found.get(parent) is not None for parent in parents)
    if name in found or in_a_file or (content is not None and name in above):
        raise ValueError(f"{printable(name)} in it is there twice")
    above |= parents
