"""One thread for the linear algebra of analyses, which is many products of small matrices.

With several threads each product waits for all of them. Beside a training on both of two cores the Effects view of
1,000 runs took 7.2 and 8.3 s of a core with two threads, 0.7 and 0.7 with one (OpenBLAS 0.3). A BLAS that threadpoolctl
does not know, such as Apple's, stays as it is.
"""

from __future__ import annotations


def one_thread() -> None:
    """From now on BLAS uses one thread in this process: NumPy's and SciPy's, which is loaded here; not in its children.

    Where that is so already it costs a millisecond.
    """
    import scipy.linalg  # noqa: F401  (it brings a BLAS of its own, which must be there to be told)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
