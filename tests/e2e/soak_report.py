"""The findings of a soak, for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from soak_plan import ABSORBED

if TYPE_CHECKING:
    from soak import Findings

LEAST = 50
"""How often each fault has to be absorbed in 10,000 requests, on average."""
SLOPE = 1.0
"""MiB of RSS that 10,000 requests may add."""
SHOWN = 20


def report(findings: Findings) -> tuple[str, bool]:
    """Markdown, and whether all is well."""
    lines = [*_rounds(findings), "", *_absorbed(findings), "", *_deserved(findings), "", *_held(findings), ""]
    problems = _problems(findings)
    lines += [f"Wrong: {problem}" for problem in problems] or ["All is well."]
    lines += [f"- {line}" for line in findings.wrong[:SHOWN]]
    helpless = [line for one in findings.rounds for line in one.books.helpless]
    if helpless:
        lines += ["", "Requests for which nobody had capacity, and what they met:"]
        lines += [f"- {line}" for line in helpless[:SHOWN]]
    return "\n".join(lines) + "\n", not problems


def _rounds(findings: Findings) -> list[str]:
    lines = ["| round | requests | seconds | ok | cuts seen | errors relayed | other errors | RSS MiB |"]
    lines.append("|---|" + "---:|" * 7)
    for number, one in enumerate(findings.rounds, 1):
        results, deserved, asked = one.books.results, one.books.deserved, sum(one.books.results.values())
        relayed = sum(count for reason, count in deserved.items() if reason.startswith("relayed"))
        others = asked - results["ok"] - results["cut"] - relayed
        counts = (f"{asked:,}", f"{one.seconds:.1f}", f"{results['ok']:,}", results["cut"], relayed, others)
        lines.append(f"| {number} | {' | '.join(map(str, counts))} | {one.resident:.1f} |")
    return lines


def _absorbed(findings: Findings) -> list[str]:
    absorbed, rounds = findings.absorbed, len(findings.rounds)
    fewest = {kind: min(one.books.absorbed[kind] for one in findings.rounds) for kind in ABSORBED}
    lines = ["| fault absorbed | times | fewest in a round |", "|---|---:|---:|"]
    lines += [f"| {kind} | {absorbed[kind]} | {fewest[kind]} |" for kind in ABSORBED]
    return [*lines, f"| all | {sum(absorbed[kind] for kind in ABSORBED):,} in {rounds} rounds | |"]


def _deserved(findings: Findings) -> list[str]:
    deserved = sum((one.books.deserved for one in findings.rounds), Counter())
    lines = ["| what a client saw, and rightly so | times |", "|---|---:|"]
    return lines + [f"| {reason} | {count} |" for reason, count in sorted(deserved.items())]


def _held(findings: Findings) -> list[str]:
    lines = ["| the balancer holds | before | at the end |", "|---|---:|---:|"]
    before, after = findings.before, findings.after
    lines += [
        f"| {name.replace('_', ' ')} | {getattr(before, name)} | {getattr(after, name)} |"
        for name in ("in_flight", "tasks", "sockets", "files")
    ]
    return [*lines, "", f"RSS from round 2 on: {findings.slope:+.2f} MiB per 10,000 requests."]


def _problems(findings: Findings) -> list[str]:
    least = LEAST * findings.total * len(findings.rounds) // 10_000
    problems = findings.missing(least)
    if findings.wrong:
        problems.append(f"{len(findings.wrong)} errors that no client should have seen")
    if findings.after != findings.before:
        problems.append(f"held before {findings.before}, at the end {findings.after}")
    if findings.slope >= SLOPE:
        problems.append(f"RSS grows by {findings.slope:.2f} MiB per 10,000 requests")
    return problems
