"""How a training is spread: what ``--strategy`` and TF_CONFIG ask for."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import tensorflow as tf

from myxtts.errors import ClusterError, ConfigError
from myxtts.replicas import Strategy
from myxtts.training.cluster import Alone, Cluster

logger = logging.getLogger(__name__)

TF_CONFIG = "TF_CONFIG"
# In the order in which their processes are numbered.
JOBS = ("chief", "worker")
EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
PACKAGES = ("myxtts", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Place:
    """Which of the processes this one is.

    Attributes:
        job, task: as TF_CONFIG names it.
        index: number among all of them, the chief's is 0.
        processes: how many there are.
    """

    job: str
    task: int
    index: int
    processes: int


def join(strategy: Strategy, environment: Mapping[str, str] = os.environ) -> Alone:
    """The replicas that train together; waits until all processes are there.

    Args:
        strategy: of the configuration.
        environment: TF_CONFIG is looked for in it.

    Raises:
        ConfigError: TF_CONFIG is missing or is not as TensorFlow defines it, or the strategy
            cannot be had.
        ClusterError: the processes do not find each other, or have other packages or devices.
    """
    if strategy == "none":
        if environment.get(TF_CONFIG):
            logger.warning("TF_CONFIG is set, and --strategy none does not look at it.")
        return Alone()
    if strategy == "parameter-server":
        raise ConfigError(
            "--strategy parameter-server is not offered: its workers change the weights without "
            "waiting for each other, so that no run could be repeated or resumed to the same "
            "weights; give --strategy multi-worker, with no 'ps' in TF_CONFIG."
        )
    if strategy == "mirrored":
        return _mirrored()
    cluster = _connected(read_place(environment.get(TF_CONFIG)))
    cluster.agree(_versions() | {"number of devices": len(cluster.devices)})
    return cluster


def read_place(text: str | None) -> Place:
    """What the JSON of TF_CONFIG says.

    Raises:
        ConfigError: it says no place in a cluster of workers.
    """
    if not text or not text.strip():
        raise ConfigError(f"--strategy multi-worker needs TF_CONFIG, like {EXAMPLE}.")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"TF_CONFIG is no JSON ({error}); it is like {EXAMPLE}.") from error
    cluster, task = (_part(values, name) for name in ("cluster", "task"))
    if other := sorted(cluster.keys() - set(JOBS)):
        raise ConfigError(
            f"TF_CONFIG names a job {other[0]!r}; a training has workers, and perhaps a chief."
        )
    addresses = {job: _addresses(job, cluster[job]) for job in JOBS if job in cluster}
    everybody = [address for job in addresses.values() for address in job]
    if twice := [address for address in everybody if everybody.count(address) > 1]:
        raise ConfigError(f"TF_CONFIG names {twice[0]} twice.")
    if len(addresses.get("chief", ())) > 1:
        raise ConfigError("TF_CONFIG names more than one chief.")
    job, index = task.get("type"), task.get("index")
    if job not in addresses:
        raise ConfigError(
            f"TF_CONFIG says task.type {job!r}, and its cluster has {', '.join(addresses) or '{}'}."
        )
    if type(index) is not int or not 0 <= index < len(addresses[job]):
        raise ConfigError(
            f"TF_CONFIG says task.index {index!r}, and its cluster has {len(addresses[job])} of "
            f"job {job!r}, counted from 0."
        )
    before = len(addresses.get("chief", ())) if job == "worker" else 0
    return Place(job, index, before + index, len(everybody))


def _part(values, name: str) -> dict:
    part = values.get(name) if isinstance(values, dict) else None
    if not isinstance(part, dict) or not part:
        raise ConfigError(f"TF_CONFIG has no {name!r}; it is like {EXAMPLE}.")
    return part


def _addresses(job: str, given) -> list[str]:
    wrong = given if isinstance(given, list) else [given]
    wrong = [item for item in wrong if not (isinstance(item, str) and _is_address(item))]
    if wrong or not given or not isinstance(given, list):
        shown = wrong[0] if wrong else given
        raise ConfigError(
            f"TF_CONFIG has {shown!r} in cluster.{job}; a list of host:port is wanted."
        )
    return given


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65_536


def _mirrored() -> Alone:
    devices = _devices("GPU") or _devices("CPU")
    if len(devices) < 2:
        logger.warning(
            "--strategy mirrored: there is one device (%s), and it trains alone.", *devices
        )
        return Alone()
    logger.info("one replica on each of %s", ", ".join(devices))
    return Cluster(devices, 0, 1)


def _connected(place: Place) -> Alone:
    logger.info("worker %d of %d; waiting for the others", place.index, place.processes)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(getattr(error, "message", error)).split("\n", 1)[0]
        raise ClusterError(
            f"worker {place.index} of {place.processes} cannot join the others of TF_CONFIG: "
            f"{reason.rstrip('.')}."
        ) from error
    here = f"/job:{place.job}/", f"/task:{place.task}/"
    devices = [
        [name for name in _devices(kind) if all(part in name for part in here)]
        for kind in ("GPU", "CPU")
    ]
    devices = devices[0] or devices[1][:1]
    if place.processes * len(devices) == 1:
        return Alone()
    return Cluster(devices, place.index, place.processes, strategy)


def _devices(kind: str) -> list[str]:
    return [device.name for device in tf.config.list_logical_devices(kind)]


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {f"version of {name}": number for name, number in found.items()}
