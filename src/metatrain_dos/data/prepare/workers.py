"""Do the same work in this process, in others, or on a cluster."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    TimeoutError,
)
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar


Item = TypeVar("Item")
Result = TypeVar("Result")

# Calls that wait for each worker: enough that none is idle while the results of another
# are awaited, few enough that their results fit into memory.
WAITING = 4

# Seconds in which a scheduler that runs answers.
CONNECT = 10


class Workers(NamedTuple):
    """
    The processes that do the work.

    :param executor: takes calls; ``None`` where they are made in this process
    :param calls: number of calls at the same time
    :param alive: whether calls still have a chance to be answered
    """

    executor: Executor | None
    calls: int
    alive: Callable[[], bool] = lambda: True


@contextmanager
def open_workers(count: int, scheduler: str | None = None) -> Iterator[Workers]:
    """
    Open worker processes on this machine, or those of a Dask cluster.

    :param count: number of processes on this machine; with one, there is none but this
    :param scheduler: address of a Dask scheduler; its workers are used instead
    :return: the workers
    :raises ValueError: if the scheduler cannot be used, or the number is below 1
    """
    if count < 1:
        raise ValueError(
            f"workers: expected at least one process, got {count}; leave it out for "
            "one on each core"
        )
    if scheduler is not None:
        with _dask_client(scheduler) as client:
            threads = sum(client.nthreads().values())
            yield Workers(
                client.get_executor(pure=False),
                max(1, threads),
                lambda: client.status != "closed",
            )
    elif count == 1:
        yield Workers(None, 1)
    else:
        # Processes that are forked from one with threads may hang.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(count, context, initializer=_stay_with_parent)
        try:
            yield Workers(pool, count)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: Workers
) -> Iterator[Result]:
    """
    Call a function for each item, and give the results in the order of the items.

    No more items are taken than the workers have use for, so that the waiting list is
    small whatever their number.

    :param function: the function to call, at the top level of a module
    :param items: arguments
    :param workers: the workers
    :return: results
    :raises ConnectionError: if the scheduler of a cluster is lost
    """
    if workers.executor is None:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(workers.executor.submit(function, item))
            if len(waiting) >= WAITING * workers.calls:
                yield _result(waiting.popleft(), workers)
        while waiting:
            yield _result(waiting.popleft(), workers)
    finally:
        for future in waiting:
            future.cancel()


def _result(future: "Future[Result]", workers: Workers) -> Result:
    """
    Wait for a result, as long as there may be one.

    :raises ConnectionError: if the scheduler is lost
    """
    while workers.alive() or future.done():
        try:
            return future.result(timeout=CONNECT)
        except TimeoutError:
            if future.done():
                raise
        except CancelledError:
            break
    raise ConnectionError(
        "scheduler: expected answers until all is done, but it cannot be reached any "
        "more; start it again, and then the same command, which goes on where it was"
    )


def _stay_with_parent() -> None:
    """Leave interrupts to the parent process, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def _dask_client(scheduler: str) -> Any:
    """Connect to a Dask cluster."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(
            "scheduler: expected the package distributed, which is not installed; "
            "pip install 'metatrain-dos[dask]'"
        ) from error
    try:
        return Client(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"scheduler: expected the address of a running Dask scheduler, got "
            f"{scheduler!r} ({error}); copy the address that it prints when it starts"
        ) from error
