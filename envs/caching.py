"""Where compiled kernels are kept: numba's rule, and a temporary folder where that finds none.

Numba keeps them where ``NUMBA_CACHE_DIR`` says, else beside their sources, else in the home
folder. Where none of these can be written (a container with a read-only file system, an account
without a home), they are in ``equiload-UID`` of the temporary folder.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from numba import config, njit

from equiload.envs.errors import DataError


def _kernel() -> None:
    """What numba is asked for a place for."""


def _fall_back() -> None:
    """Have kernels kept in the temporary folder.

    Raises
    ------
    DataError
        If that cannot be written either.
    """
    try:
        folder = Path(tempfile.gettempdir(), f"equiload-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o777 != 0o700 or folder.is_symlink():
            # Kernels are code: somebody else's are not run.
            folder = Path(tempfile.mkdtemp(prefix="equiload-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise DataError(
            f"compiled kernels can be kept nowhere ({error}); name a folder in NUMBA_CACHE_DIR"
        ) from None
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    config.reload_config()  # type: ignore[no-untyped-call]


try:
    njit(cache=True)(_kernel)
except RuntimeError:  # numba found no place
    _fall_back()
