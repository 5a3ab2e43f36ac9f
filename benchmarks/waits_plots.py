"""The two pictures of benchmarks.waits: how early a word at which price, and what a wait costs."""

from collections.abc import Callable, Sequence

from benchmarks.svg import Panel, Point, Series, chart
from benchmarks.waiters import AZURE, BACKOFF, BARE, NAIVE, OURS, OURS_ALL
from benchmarks.waits_run import Figures

ORDER = (OURS, OURS_ALL, NAIVE, BACKOFF, AZURE, BARE)


def requests_vs_delay(ran: Sequence[Figures]) -> str:
    """A line for each subject, a mark on it for each number of waits."""

    def point(each: Figures) -> Point | None:
        if not each.rate or each.case.subject == OURS_ALL:  # its one delay is the last one's
            return None
        size = f"{each.case.waits // 1000}k" if each.case.waits >= 1000 else str(each.case.waits)
        return Point(each.rate, each.delays["p50"], each.delays["p99"], size)

    title = "Detection delay against requests"
    axes = ("requests per second", "seconds from READY to the awaiting code")
    panel = Panel(title, *axes, lines(ran, point), width=620, height=320)
    note = f"Marks: median, by number of waits; upper end: p99. Gap {ran[0].case.gap:g} s."
    return chart([panel], note)


def cost_vs_waits(ran: Sequence[Figures]) -> str:
    """CPU and memory of a wait over the number of waits."""

    def cpu(each: Figures) -> Point | None:
        return Point(each.case.waits, each.cpu * 1e6) if each.cpu else None

    def memory(each: Figures) -> Point | None:
        return Point(each.case.waits, each.memory) if each.memory else None

    panels = [
        Panel("CPU of a wait in a minute", "waits", "microseconds", lines(ran, cpu)),
        Panel("Memory of a wait at rest", "waits", "bytes", lines(ran, memory)),
    ]
    note = (
        f"Gap {ran[0].case.gap:g} s. A full CPU makes polls late, and so cheaper: see the delays."
    )
    return chart(panels, note)


def lines(ran: Sequence[Figures], point: Callable[[Figures], Point | None]) -> list[Series]:
    """A series for each subject and number of workspaces that has any point."""
    found: dict[tuple[str, int], list[Point]] = {}
    for each in ran:
        if (where := point(each)) is not None:
            found.setdefault((each.case.subject, each.case.workspaces), []).append(where)
    workspaces = sorted({number for subject, number in found if subject == OURS})
    return [
        Series(name(subject, number, several=len(workspaces) > 1), style(subject, number), points)
        for (subject, number), points in sorted(
            found.items(), key=lambda item: (ORDER.index(item[0][0]), item[0][1])
        )
    ]


def name(subject: str, workspaces: int, *, several: bool) -> str:
    if subject != OURS or not several:
        return subject
    return f"{subject}, {workspaces} workspace{'s' if workspaces > 1 else ''}"


def style(subject: str, workspaces: int) -> int:
    """Ours have two: all in one workspace, and spread over more."""
    if subject == OURS:
        return 0 if workspaces == 1 else 1
    return ORDER.index(subject) + 1
