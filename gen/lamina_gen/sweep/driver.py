"""Run the points that are not finished on a Dask cluster: a local one, or any that is there."""

import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm import get_address_host_port

from lamina_gen.build import Progress
from lamina_gen.sweep.point import Outcome, Point, evaluate, source_digest
from lamina_gen.sweep.results import Results
from lamina_sim.verilated.toolchain import ToolError

__all__ = ["Cluster", "run"]

T = TypeVar("T")

#: How long a scheduler has to answer, and to have its first worker.
_PATIENCE = "30s"
#: So often it is asked whether there are workers, in seconds; one that a nanny starts anew takes
#: some, and is there when it is asked again.
_WORKERS_ASKED = 10
#: Deterministic, so that rows compare: which workers they were says nothing of the point.
_DEADLY = "Every worker that tried this point died; it may lack memory."


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where to run: the ``scheduler`` at an address; else ``workers`` processes; else threads."""

    scheduler: str | None = None
    workers: int | None = None

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """Yield a client; raise ToolError if no scheduler answers or its workers do not fit."""
        # Dask tells of every worker that comes and goes; what matters is told by the driver.
        quiet = {"logging.distributed": "critical", "distributed.comm.timeouts.connect": _PATIENCE}
        with dask.config.set(quiet), contextlib.ExitStack() as stack:
            for name in ("distributed", "tornado"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            address: Any = self.scheduler
            if address is None:
                address = stack.enter_context(self._local())
            reason = None
            try:
                if self.scheduler is not None:
                    get_address_host_port(self.scheduler)  # else a client finds out too late to end
                client = stack.enter_context(Client(address, set_as_default=False))
                client.wait_for_workers(1, timeout=_PATIENCE)
            except (OSError, TimeoutError, ValueError) as error:
                reason = str(error).partition("\n")[0].rstrip(".")
                # A client that has not started closes with its last reference: now, while it can.
                traceback.clear_frames(error.__traceback__)
            if reason is not None:
                where = self.scheduler or "this machine"
                raise ToolError(f"No Dask cluster with workers answers at {where}: {reason}.")
            _check_workers(client)
            yield client

    def _local(self) -> LocalCluster:
        if self.workers is None:
            # One process, no sockets; synthesis runs in subprocesses anyway.
            size = {"n_workers": 1, "threads_per_worker": os.cpu_count() or 1}
        else:
            size = {"n_workers": self.workers, "threads_per_worker": 1}
        return LocalCluster(
            **size,
            processes=self.workers is not None,
            dashboard_address=None,
            worker_dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )


def run(
    points: Sequence[Point],
    results: Results,
    cluster: Cluster,
    *,
    retry: bool = False,
    progress: Progress | None = None,
) -> int:
    """Evaluate the ``points`` that ``results`` has not, each kept as it is finished.

    ``retry``: evaluate those that failed as well. Returns how many were evaluated. Raises ToolError
    if the cluster cannot be had or is lost, or its last worker; what was finished until then is
    kept.
    """
    finished = results.finished(failed=not retry)
    waiting = [point for point in points if point.key not in finished]
    if not waiting:
        return 0
    report = progress or (lambda what, fraction: None)
    done = len(points) - len(waiting)

    def keep(point: Point, outcome: Outcome) -> None:
        nonlocal done
        results.add(point, outcome)
        done += 1
        report(f"{done} of {len(points)} points: {point.text}", done / len(points))

    with cluster.client() as client:
        # A task has the name of its point: what two drivers want at once is evaluated once.
        futures = {
            client.submit(evaluate, point, key=f"lamina-{point.key}", pure=False): point
            for point in waiting
        }
        suspects = []
        for future in _ended(client, futures):
            # Dask would keep the outcome as long as the future lives.
            point = futures.pop(future)
            outcome = _outcome(client, future)
            if outcome is None:
                suspects.append(point)
            else:
                keep(point, outcome)
        # Dask blames whatever waits on a worker that dies; alone there, a point is guilty or not.
        for point in suspects:
            outcome = None
            if len(suspects) > 1:
                alone = client.submit(evaluate, point, key=f"lamina-{point.key}-alone", pure=False)
                outcome = _outcome(client, alone)
            keep(point, outcome or Outcome(sentence=_DEADLY))
    return len(waiting)


def _ended(client: Client, futures: Collection[Future]) -> Iterator[Future]:
    """Yield tasks as they end."""
    left = set(futures)

    def some(seconds: float) -> set[Future]:
        with client.as_current():
            return set(wait(left, timeout=seconds, return_when="FIRST_COMPLETED").done)

    while left:
        try:
            ended = _patiently(client, some)
        except (CancelledError, OSError):
            ended = set(left)  # what became of them is seen one by one
        left -= ended
        yield from ended


def _outcome(client: Client, future: Future) -> Outcome | None:
    """Return the outcome of a task when it has ended; None if its workers died."""
    try:
        return _patiently(client, lambda seconds: future.result(timeout=seconds))
    except KilledWorker:
        return None
    except (CancelledError, OSError):
        raise ToolError(
            "The Dask scheduler was lost; the same command goes on where this one stopped."
        ) from None


def _patiently(client: Client, attempt: Callable[[float], T]) -> T:
    """Return what ``attempt`` does within some seconds; try as long as there are workers.

    Raises ToolError when none is left, OSError when the scheduler is lost.
    """
    deserted = False
    while True:
        try:
            return attempt(_WORKERS_ASKED)
        except TimeoutError:
            workers = client.nthreads()
            if deserted and not workers:
                raise ToolError(
                    "No Dask worker is left; start some, and the same command goes on where this "
                    "one stopped."
                ) from None
            deserted = not workers


def _check_workers(client: Client) -> None:
    """Refuse workers whose Lamina is another: their figures would stand under wrong keys."""
    try:
        digests = client.run(source_digest)
    except Exception as error:
        raise ToolError(
            f"Every Dask worker must have Lamina installed: {type(error).__name__}: {error}."
        ) from None
    strangers = sorted(name for name, digest in digests.items() if digest != source_digest())
    if strangers:
        raise ToolError(f"Workers must have the same Lamina as the driver; {strangers[0]} has not.")
