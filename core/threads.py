"""How many threads the lab's own work takes beside the runs that train on the same cores.

With several threads each piece of a computation waits for all of them, and where there are more threads than cores that
is most of its time. Beside a training on both of two cores the Effects view of 1,000 runs took 7.2 and 8.3 s of a core
with two threads of BLAS, 0.7 and 0.7 with one (OpenBLAS 0.3); what a network says of a clip of 45 s took 0.4 to 0.7 s
of a core with two threads of OpenMP, 0.2 with one, and 2.0 s by the clock in place of 1.3 (medians of n = 4, load 8).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from core import paths

SHARE = 4
"""Beside runs the lab takes one core in so many, at least one."""


def one_for_analyses() -> None:
    """From now on BLAS uses one thread in this process: NumPy's and SciPy's, which is loaded here; not in its children.

    Analyses are many products of small matrices, which gain nothing from more. Where it is so already this costs a
    millisecond. A BLAS that threadpoolctl does not know, such as Apple's, stays as it is.
    """
    import scipy.linalg  # noqa: F401  (it brings a BLAS of its own, which must be there to be told)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


@contextlib.contextmanager
def few_beside_runs() -> Iterator[None]:
    """Within it this thread's BLAS and OpenMP, PyTorch's among them, leave the cores to runs, where any is at work."""
    if not paths.at_work().exists():
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(max(1, (os.cpu_count() or 1) // SHARE)):
        yield
