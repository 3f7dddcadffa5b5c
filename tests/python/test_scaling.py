"""`benches/scaling.py`: its series exist, and what it measures is fitted and written."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benches import scaling  # noqa: E402
from benches.compare import workloads  # noqa: E402

BY_NAME = {workload.name: workload for workload in workloads.ALL}


def test_every_series_varies_arguments_of_a_workload():
    for series in scaling.SERIES:
        known = BY_NAME[series.workload].args
        for value in series.values:
            assert set(series.args(value)) <= {*known, "size"}, series.title
        assert len(series.values) >= 5 and sorted(series.values) == list(series.values)
    assert {name for name, _ in scaling.THREADED} <= set(BY_NAME)


def test_the_exponent_is_that_of_a_power():
    values = [1, 2, 4, 8]
    assert scaling.exponent(values, [3.0 * v**2.5 for v in values]) == pytest.approx(2.5)
    assert scaling.exponent([1, 2], [1.0, 2.0]) is None
    points = [scaling.Point(1e-3 * v, 1 << 20) for v in (1, 2, 4)] + [None]
    fit = scaling.fits([1, 2, 4, 8], points)
    assert fit["time"] == pytest.approx(1.0)
    assert fit["memory"] is None


def test_a_point_is_measured_in_a_process_of_its_own():
    point = scaling.Meter(0.01, 0).point("matmul 1024", 1, {"a": [300, 300], "b": [300, 300]})
    assert point.seconds > 0
    assert point.memory is None or point.memory >= 3 * 300 * 300 * 4


def test_a_point_that_cannot_be_had_is_named(capsys):
    assert scaling.Meter(0.01, 0).point("matmul 1024", 1, {"a": [3, 4]}) is None
    assert "matmul 1024" in capsys.readouterr().out


def test_the_tables_replace_the_section_of_a_page(tmp_path):
    report = scaling.Report([1, 2], [2, 4])
    series = scaling.SERIES[0]
    points = [scaling.Point(1e-3 * v, v << 22) for v in series.values]
    report.series.append((series, {1: points, 2: [*points[:-1], None]}))
    report.threads.append(("matmul", {n: scaling.Point(1e-3, None) for n in (1, 2, 4)}))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{scaling.START}\nold\n{scaling.END}\nafter\n")
    scaling.update(page, report.document())
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert f"| {series.title} | batch | 1 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |" in text
    assert "| 64 | 64.0 ms | 256 MiB | – | – | – |" in text
    assert "| matmul | 1.00 ms | 1.00 ms | 1.00 ms |" in text
    page.write_text("nothing")
    with pytest.raises(SystemExit):
        scaling.update(page, "")
