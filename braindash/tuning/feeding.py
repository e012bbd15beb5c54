"""The next item's input is read while the device works on this one.

What is read does not depend on when: order, values and the random state are the same with and
without the thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Batch = TypeVar("Batch")


class Feeder(Generic[Item, Batch]):
    """Makes batches in the order planned, one ahead of the one asked for.

    Parameters
    ----------
    make : callable
        ``make(item)``; called in one other thread, so it must draw no random numbers.
    ahead : bool
        False: make each batch when it is asked for, in the caller's thread.

    Attributes
    ----------
    waited : float
        Seconds that callers of `take` have waited in all.
    """

    def __init__(self, make: Callable[[Item], Batch], *, ahead: bool = True) -> None:
        self.waited = 0.0
        self._make = make
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feeder") if ahead else None
        self._planned: deque[Item] = deque()
        self._next: tuple[Item, Future[Batch]] | None = None

    def plan(self, items: Iterable[Item]) -> None:
        """Say which items will be asked for, in order; what was planned before is forgotten."""
        self._planned = deque(items)
        self._drop()

    def take(self, item: Item) -> Batch:
        """Return the batch of ``item``, and start on the one planned after it."""
        began = time.perf_counter()
        try:
            if self._next is not None and self._next[0] == item:
                future = self._next[1]
                self._next = None
                return future.result()
            self._drop()
            return self._make(item)
        finally:
            self.waited += time.perf_counter() - began
            self._begin_after(item)

    def _begin_after(self, item: Item) -> None:
        while self._planned and self._planned.popleft() != item:
            pass
        if self._planned and self._pool is not None:
            following = self._planned[0]
            self._next = following, self._pool.submit(self._make, following)

    def _drop(self) -> None:
        if self._next is not None:
            self._next[1].cancel()
            self._next = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._planned.clear()
        self._drop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
