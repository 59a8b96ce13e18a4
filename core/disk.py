"""Writing to a disk that may be full: all or nothing, and a sentence for the user where there is no room."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:  # a rendering child can do without
    import numpy as np

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, the user's quota, a limit on the size of files."""


def write(handle: int, data: bytes) -> None:
    """All of `data` to an open file, past every buffer: what raised here is not written later by surprise."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def replace(path: Path, data: bytes, *, is_synced: bool = False) -> None:
    """A file with this content under this name: a reader sees the old one or the new one; synced if asked."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write(handle, data)
            if is_synced:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def keep_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Arrays under these names in one .npz; a cache that cannot be written costs time later, not the result now."""
    import numpy as np

    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]  # its stubs take a keyword for allow_pickle
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, packed.getvalue())


def share(source: Path, target: Path) -> None:
    """Another name for a file that is only ever replaced, never written in; a copy where the disk has no such names."""
    making = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        try:
            os.link(source, making)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            shutil.copyfile(source, making)
        os.replace(making, target)
    finally:
        making.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in `folder`; those of the living stay."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        made = re.fullmatch(r"\..+?\.(\d+)(\.\d+)?", name)
        if made and (int(made[1]) == os.getpid() or not psutil.pid_exists(int(made[1]))):
            left = folder / name
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def is_full(error: BaseException) -> bool:
    """Whether this error says that there is no room."""
    return isinstance(error, OSError) and error.errno in FULL


def sentence(error: OSError, then: str = "resume the run from its last checkpoint") -> str:
    """Why nothing could be written, and what to do: make room, `then` what was meant to be done."""
    if error.errno == errno.EDQUOT:
        return f"Your quota on this disk is used up: free some space, then {then}."
    if error.errno == errno.EFBIG:
        return f"A file would exceed the size this system allows: raise the limit, then {then}."
    if is_full(error):
        return f"The disk is full: free some space, then {then}."
    place = f" ({error.filename})" if error.filename else ""
    return f"The system refused: {error.strerror or error}{place}. See to that, then {then}."
