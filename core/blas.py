"""One thread for the linear algebra of analyses, which is many products of small matrices.

With several threads each product waits for all of them; where runs train on the same cores an analysis of variance of
1,000 runs took 8 s in place of 0.7 (two cores).
"""

from __future__ import annotations


def one_thread() -> None:
    """From now on BLAS uses one thread in this process: NumPy's and SciPy's, which is loaded here; not in its children.

    Where that is so already it costs a millisecond.
    """
    import scipy.linalg  # noqa: F401  (it brings a BLAS of its own, which must be there to be told)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
