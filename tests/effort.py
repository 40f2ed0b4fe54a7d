"""How much the tests of faults try: ``make faults`` sets ``FAULTS``, so many times as much."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

FAULTS = int(os.environ.get("FAULTS", "1"))
#: What no input may take: seconds of a core, and KiB of memory.
MOST_SECONDS, MOST_KIB = 10.0, 2 << 20


@contextmanager
def limited() -> Iterator[None]:
    """Fail where an input takes more; memory where no other tests share the process."""
    begin = time.process_time()
    yield
    assert time.process_time() - begin < MOST_SECONDS
    assert FAULTS == 1 or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MOST_KIB
