"""The workloads of `benches/compare`: well-formed, and each runs under Tengen at a small size."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benches.compare import markdown, networks, report, workloads  # noqa: E402
from benches.compare.ceilings import Ceilings  # noqa: E402
from benches.compare.faces import open_face  # noqa: E402
from benches.compare.peers import peers  # noqa: E402


@pytest.fixture(scope="module")
def face():
    return open_face("megengine", 1)


def test_every_workload_has_a_name_a_group_and_something_to_be_held_to():
    names = [workload.name for workload in workloads.ALL]
    assert len(set(names)) == len(names)
    groups = {group.name for group in workloads.GROUPS}
    assert {workload.group for workload in workloads.ALL} == groups
    for workload in workloads.ALL:
        assert workload.goal is None or workload.goal >= 1, workload.name
        assert not (workload.flops and workload.bytes), workload.name
        assert workload.flops >= 0 and workload.bytes >= 0, workload.name
        assert workload.traffic in ("copy", "read"), workload.name
        if workload.share_goal:
            assert workload.flops or workload.bytes, workload.name


@pytest.mark.parametrize("group", workloads.GROUPS, ids=lambda group: group.name)
def test_every_workload_runs_at_a_small_size(face, group):
    for workload in workloads.ALL:
        if workload.group != group.name or "imported" in workload.name:
            continue
        timed = workload.timed(face, tiny=True)
        for _ in range(2):
            if timed.before:
                timed.before()
            result = timed.run()
        some = face.some(result)
        assert some["values"], workload.name
        assert np.isfinite(some["values"]).all(), workload.name


@pytest.mark.skipif(not os.environ.get("COMPARE_CANDLE"), reason="COMPARE_CANDLE is not set")
@pytest.mark.parametrize(
    "group, fewest",
    [("matmul", 10), ("convolution", 22), ("elementwise", 62), ("reduction", 14), ("pooling", 4),
     ("copy", 6)],
)
def test_candle_computes_what_tengen_computes(face, group, fewest):
    candle, done = open_face("candle", 1), 0
    for workload in (w for w in workloads.ALL if w.group == group):
        try:
            theirs = candle.some(workload.timed(candle, tiny=True).run())
        except NotImplementedError:
            continue
        ours = face.some(workload.timed(face, tiny=True).run())
        results = {"tengen": report.Result(some=ours), "candle": report.Result(some=theirs)}
        assert report.differing(workload, results) == [], workload.name
        assert ours["shape"] == theirs["shape"], workload.name
        done += 1
    assert done >= fewest


def test_candle_without_its_library_is_an_import_error(monkeypatch):
    monkeypatch.delenv("COMPARE_CANDLE", raising=False)
    with pytest.raises(ImportError, match="CANDLE=1"):
        open_face("candle", 1)


def test_the_flops_of_resnet_are_those_of_its_layers():
    assert networks.resnet_flops(18) == pytest.approx(2 * 1.814e9, rel=1e-3)
    assert networks.resnet_flops(50) == pytest.approx(2 * 4.089e9, rel=1e-3)


def test_results_are_judged_and_written(tmp_path):
    columns = peers("torch", None)
    run = report.Run(columns, Ceilings(), 1.0)
    run.ceilings.found[2, "fma"] = [390.0, 400.0]
    product = next(w for w in workloads.ALL if w.name == "matmul 1024")
    for ours, theirs, kept in [(8e-3, 17e-3, 9e-3), (6e-3, 11e-3, 5e-3)]:
        some = {"shape": [1], "values": [1.0], "scale": 1.0}
        results = {
            name: report.Result(quiet=[[seconds]], some=some)
            for name, seconds in [("tengen", ours), ("torch", theirs), ("torch-keep", kept)]
        }
        run.add(2, product, results, ceiling=400.0)
    good, bad = run.rows
    assert good.faults == ["67% of the ceiling, not 85%"]
    assert bad.faults == ["1.83× of 2×", "0.83× with memory kept"]
    markdown.write(run, tmp_path / "results")
    text = (tmp_path / "results.md").read_text()
    assert "| 2 | fma | 390 GFLOP/s | 395 GFLOP/s | 400 GFLOP/s |" in text
    assert re.search(r"\| matmul 1024 \| 8\.00 ms \| 17\.0 ms \| 2\.12×", text)
    assert (tmp_path / "results.json").exists()


def test_a_result_that_differs_is_named():
    product = workloads.ALL[0]
    results = {
        name: report.Result(quiet=[[1.0]], some={"shape": [1], "values": [v], "scale": 1.0})
        for name, v in [("tengen", 1.0), ("torch", 1.001), ("torch-keep", 1.1)]
    }
    assert report.differing(product, results) == ["torch-keep"]


def test_durations_have_three_digits():
    shown = [report.duration(s) for s in (None, 12.345, 1.5e-3, 9.999e-5, 3.2e-7)]
    assert shown == ["–", "12.3 s", "1.50 ms", "100 µs", "320 ns"]
