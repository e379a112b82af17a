"""A real cluster of three nodes on loopback reads the files of a glob: the same rows, whoever reads them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlops.data import cluster, tables

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray takes the machine's own address for 127.0.0.1 unless it believes that clusters are off."""
PROGRAM = """
import json, signal, sys, threading
from ray.cluster_utils import Cluster

ray = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [ray.add_node(num_cpus=1) for _ in range(2)]
ray.wait_for_nodes()
print(ray.address, flush=True)
for line in sys.stdin:
    ray.remove_node(nodes.pop(), allow_graceful=False)
    print("removed", flush=True)
ray.shutdown()
"""

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Start a head and two nodes; what is written to their standard input takes one away."""
    environ = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **LOOPBACK}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        process.address = process.stdout.readline().strip()
        assert process.address.startswith("127.0.0.1:"), process.address
        yield process
        process.stdin.close()
        process.wait(60)


def write(folder, files=6, rows=400):
    folder.mkdir()
    for number in range(files):
        with (folder / f"part-{number}.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["text", "label"])
            lines.writerows((f"<b>text</b> {number * rows + row}", "yn"[row % 2]) for row in range(rows))
    return folder


def start(folder, *words, address=""):
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "DLOPS_HOME": str(folder / "home"),
        "PYTHONPATH": str(Path(tables.__file__).parents[2]),
    }
    environ |= {cluster.ADDRESS: address, **LOOPBACK} if address else {}
    command = [sys.executable, "-m", "pipelines.ingest", "near_duplicates=off", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environ, **pipes)


def ingest(folder, *words, address=""):
    with start(folder, *words, address=address) as process:
        out, err = process.communicate(timeout=100)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def told(done):
    return done.stdout + done.stderr


def test_files_are_spread_and_the_rows_are_those_of_one_machine(nodes, tmp_path):
    source = f"source={write(tmp_path / 'files')}/*.csv"
    here, there = ingest(tmp_path, source, "table=./t"), ingest(tmp_path, source, "table=./t", address=nodes.address)
    assert (here.returncode, there.returncode) == (0, 0), told(here) + told(there)
    assert "nodes of the Ray cluster" not in here.stdout
    assert "6 files were read on 3 nodes of the Ray cluster." in there.stdout
    assert "still version 0" in there.stdout
    assert there.stderr == ""
    assert tables.read(str(tmp_path / "t"))[1]["counts"]["rows"] == 2400


@pytest.mark.slow
def test_rejects_of_all_nodes_are_told_with_file_and_line_in_order(nodes, tmp_path):
    folder = write(tmp_path / "files", files=3, rows=20)
    for number in (0, 2):
        with (folder / f"part-{number}.csv").open("a") as file:
            file.write("one,two,three\n")
    words = (f"source={folder}/*.csv", "table=./t", "on_error=reject")
    done = ingest(tmp_path, *words, address=nodes.address)
    assert done.returncode == 0, told(done)
    (rejects,) = tmp_path.glob("mlruns/*/*/artifacts/rejects.jsonl")
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(Path(row["file"]).name, row["line"]) for row in found] == [("part-0.csv", 22), ("part-2.csv", 22)]
    stopped = ingest(tmp_path, *words[:2], address=nodes.address)
    assert stopped.returncode == 4
    assert "part-0.csv" in stopped.stderr
    assert "22" in stopped.stderr
    assert "Traceback" not in told(stopped)


@pytest.mark.slow
def test_a_file_with_other_columns_is_named(nodes, tmp_path):
    folder = write(tmp_path / "files", files=3, rows=20)
    (folder / "part-1.csv").write_text("text,mark\na,b\n")
    done = ingest(tmp_path, f"source={folder}/*.csv", "table=./t", address=nodes.address)
    assert done.returncode == 4
    assert "part-1.csv has no column 'label'" in done.stderr
    assert "Traceback" not in told(done)


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    source = f"source={write(tmp_path / 'files', files=2, rows=20)}/*.csv"
    done = ingest(tmp_path, source, "table=./t", address="127.0.0.1:1")
    assert done.returncode == 5
    assert "The Ray cluster at 127.0.0.1:1 does not answer" in done.stderr
    assert "Traceback" not in told(done)


@pytest.mark.slow
def test_a_node_that_is_lost_costs_no_row(nodes, tmp_path):
    """The last of these tests: the cluster has two nodes afterwards."""
    folder = write(tmp_path / "files", files=8, rows=30_000)
    with start(tmp_path, f"source={folder}/*.csv", "table=./t", address=nodes.address) as process:
        assert process.stdout.readline().startswith("Reading")
        time.sleep(3)  # Ray is connected, and reads
        nodes.stdin.write("remove\n")
        nodes.stdin.flush()
        out, err = process.communicate(timeout=200)
    assert nodes.stdout.readline().strip() == "removed"
    assert process.returncode == 0, out + err
    assert tables.read(str(tmp_path / "t"))[1]["counts"]["rows"] == 240_000
