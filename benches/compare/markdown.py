"""The results as files."""

from __future__ import annotations

import json
import platform
from statistics import median

from . import workloads
from .ceilings import UNITS
from .report import duration, machine, speed, times


def write(run, output):
    """Writes ``output``.md and ``output``.json."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_name(output.name + ".md").write_text(document(run))
    text = json.dumps(run.data(), indent=1, ensure_ascii=False)
    output.with_name(output.name + ".json").write_text(text + "\n")


def document(run):
    """The whole file."""
    cpu = machine()
    titles = {peer.name: peer.title for peer in run.columns}
    versions = ", ".join(
        f"{titles[name]} {version}" for name, version in run.versions.items()
    )
    lines = [
        "# Tengen beside its peers",
        "",
        f"{run.started:%Y-%m-%d %H:%M %Z}, commit {run.commit}, {cpu['name']}, "
        f"{cpu['cores']} cores, {platform.system()} {platform.release()}, load average at the "
        f"start {run.load:.2f}. {versions}.",
        "",
        f"Medians, about {run.budget:g} s for each peer and workload, in turn. "
        "`docs/performance.md` says how to read this.",
        *noise(run),
        "",
        "## Ceilings",
        "",
        "Measured in turn with the work that they are held against.",
        "",
        *table_head(["threads", "ceiling", "least", "median", "most"]),
    ]
    for (threads, name), found in run.ceilings.found.items():
        speeds = [f"{v:.3g} {UNITS[name]}" for v in (min(found), median(found), max(found))]
        lines.append(cells([threads, name, *speeds]))
    if run.ceilings.error:
        lines += ["", f"Not available: {run.ceilings.error}"]
    lines += ["", summary(run), *memory(run)]
    for group in workloads.GROUPS:
        for threads in reversed(run.thread_counts()):
            lines += group_table(run, group, threads)
    return "\n".join([*lines, *notes(run), ""])


def summary(run):
    """Geometric means, and what is under its goal, as Markdown."""
    lines = ["## Geometric means of the ratios", ""]
    titles = [peer.title for peer in run.columns[1:]]
    lines += table_head(["threads", "group", *titles, "goal", "verdict"])
    for threads, group, by_peer in run.means():
        ratio, verdict = by_peer.get("torch"), "–"
        if group.goal and ratio:
            verdict = "met" if ratio >= group.goal else "under"
        goal = f"{group.goal:g}×" if group.goal else "–"
        lines.append(
            cells([threads, group.title, *map(times, by_peer.values()), goal, verdict])
        )
    for threads in reversed(run.thread_counts()):
        rows = run.under(threads)
        total = sum(row.threads == threads for row in run.rows)
        lines += ["", f"## Under goal, {count_threads(threads)}: {len(rows)} of {total}", ""]
        lines += [f"- {row.workload.name}: {'; '.join(row.faults)}" for row in rows]
    return "\n".join(lines)


def memory(run):
    rows = [row for row in run.rows if row.workload.memory]
    if not rows:
        return []
    lines = ["", "## Peak resident memory, MB, one process per workload", ""]
    lines += table_head(["workload", "threads", *[peer.title for peer in run.columns]])
    for row in rows:
        peaks = [row.results[peer.name].peak for peer in run.columns]
        shown = ["–" if peak is None else f"{peak / 1e6:.0f}" for peak in peaks]
        lines.append(cells([row.workload.name, row.threads, *shown]))
    return lines


def noise(run):
    noisy = sum(bool(row.disturbed()) for row in run.rows)
    if not noisy:
        return []
    text = f"Other work on the machine disturbed every turn of a peer in {noisy} of "
    return ["", f"{text}{len(run.rows)} lines; they are marked."]


def notes(run):
    """Peers that could not run something, and results that differ."""
    missing, differ = {}, []
    for row in run.rows:
        for name, r in row.results.items():
            if r.error:
                missing.setdefault((name, row.workload.name, r.error), []).append(row.threads)
        differ += [f"- {n}, {row.workload.name}" for n in row.differs]
    lines = []
    if missing:
        lines += ["", "## Not available", ""]
        lines += [f"- {n}, {w}: {error}" for (n, w, error) in missing]
    if differ:
        lines += ["", "## Results that differ from Tengen's", "", *dict.fromkeys(differ)]
    return lines


def group_table(run, group, threads):
    rows = run.group_rows(group, threads)
    if not rows:
        return []
    head = ["workload", "Tengen"]
    for peer in run.columns[1:]:
        head += [peer.title, "ratio"]
    lines = ["", f"## {group.title}, {count_threads(threads)}", ""]
    lines += table_head([*head, "speed", "of ceiling", "goal", "verdict"])
    for row in rows:
        w, ours = row.workload, row.results["tengen"].seconds
        line = [w.name, duration(ours)]
        for peer in run.columns[1:]:
            line += [duration(row.results[peer.name].seconds), times(row.ratios.get(peer.name))]
        share = "–" if row.share is None else f"{row.share:.0%}"
        goal = f"{w.goal:g}×" if w.goal else "–"
        lines.append(cells([*line, speed(w, ours), share, goal, run.verdict(row)]))
    return lines


def cells(values):
    return "| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |"


def table_head(titles):
    return [cells(titles), "|" + "---|" * len(titles)]


def count_threads(n):
    return "1 thread" if n == 1 else f"{n} threads"
