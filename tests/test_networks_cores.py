"""Threads for the cores that a process may use, not for those that the machine has: Binder, Docker, a batch system."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from diarnb.engines.local import networks

if TYPE_CHECKING:
    from pathlib import Path

CPU = ("CPUExecutionProvider",)
QUOTAS = [  # file of a control group: content; and how many cores that is of eight
    ({}, 8),
    ({"cpu.max": "max 100000\n"}, 8),
    ({"cpu.max": "200000 100000\n"}, 2),
    ({"cpu.max": "150000 100000\n"}, 2),
    ({"cpu.max": "10000 100000\n"}, 1),
    ({"cpu.max": "3200000 100000\n"}, 8),
    ({"cpu.max": "damaged"}, 8),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
]


@pytest.mark.parametrize(("files", "cores"), QUOTAS)
def test_a_quota_of_a_container_counts(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert networks.count_cores(tmp_path) == cores


ON_ONE_CORE = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from diarnb.engines.local import networks
from diarnb.server.settings import Settings
network = networks.load("embedding", providers=("CPUExecutionProvider",), threads=None)
print(network.get_session_options().intra_op_num_threads, Settings(folder=".", keys=("a" * 32,)).workers)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not bound to cores here")
def test_a_process_that_is_bound_to_one_core_has_one_thread() -> None:
    done = subprocess.run([sys.executable, "-c", ON_ONE_CORE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_a_network_gets_the_threads_of_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "count_cores", lambda: 3)
    network = networks.load("segmentation", providers=CPU, threads=None)
    assert network.get_session_options().intra_op_num_threads == 3
