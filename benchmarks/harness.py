"""Rounds, ratios and tables for a machine that is never quiet.

Times wander by tens of percent on a shared machine, the ratio of two that were taken one right
after the other does not. So subjects take short turns, in an order that is drawn anew each round,
every ratio is taken within a round, and its median over the rounds is what counts. To list the
baseline itself a second time tells how far such a median can be trusted: it should say 1.00.
"""

import json
import os
import platform
import random
import statistics
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version

import attrs

Summary = dict[str, object]


@attrs.frozen
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@attrs.define
class Race:
    """The samples of subjects that take turns: named measures in seconds, one set a round.

    `ratios` says what is compared: pairs of a measure and the subject that stands for 1.00.
    Subjects in `slow` take part in every tenth round only: they are far from the others, and
    would take most of the time.
    """

    title: str
    subjects: Sequence[str]
    ratios: Sequence[tuple[str, str]]
    slow: Collection[str] = ()
    _rounds: list[dict[str, dict[str, float]]] = attrs.field(init=False, factory=list)

    def turns(self, rounds: int) -> Iterator[str]:
        """The subject whose turn it is, until all rounds are done; `add` its sample each time."""
        draw = random.Random(self.title)
        order = list(self.subjects)
        for number in range(rounds):
            draw.shuffle(order)
            self._rounds.append({})
            for subject in order:
                if number % 10 == 0 or subject not in self.slow:
                    yield subject

    def add(self, subject: str, **seconds: float) -> None:
        self._rounds[-1][subject] = seconds

    @property
    def measures(self) -> list[str]:
        return list(self._rounds[0][self.subjects[0]])

    def seconds(self, subject: str, measure: str) -> list[float]:
        return [samples[subject][measure] for samples in self._rounds if subject in samples]

    def time(self, subject: str, measure: str) -> Spread:
        return Spread.of(self.seconds(subject, measure))

    def ratio(self, subject: str, measure: str, base: str) -> Spread:
        return Spread.of(
            [
                samples[subject][measure] / samples[base][measure]
                for samples in self._rounds
                if subject in samples and base in samples
            ]
        )

    def table(self, unit: str, per_second: float) -> str:
        """The race as a Markdown table, times in `unit`, of which a second has `per_second`."""
        measures = self.measures
        rows = [
            [
                self.title,
                *(f"{measure}, {unit}" for measure in measures),
                *(f"{measure} / {base}" for measure, base in self.ratios),
            ]
        ]
        for subject in self.subjects:
            times = (self.time(subject, measure).median * per_second for measure in measures)
            ratios = (self.ratio(subject, measure, base) for measure, base in self.ratios)
            rows.append([subject, *(f"{time:.0f}" for time in times), *map(str, ratios)])
        return markdown(rows)

    def summary(self) -> Summary:
        """The race for a program: seconds, ratios, and the rounds that they come from."""
        return {
            "title": self.title,
            "subjects": {subject: self._figures(subject) for subject in self.subjects},
        }

    def _figures(self, subject: str) -> Summary:
        return {
            "seconds": {
                measure: attrs.asdict(self.time(subject, measure)) for measure in self.measures
            },
            "ratios": {
                f"{measure} / {base}": attrs.asdict(self.ratio(subject, measure, base))
                for measure, base in self.ratios
            },
            "samples": {measure: self.seconds(subject, measure) for measure in self.measures},
        }


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text cells, the head first, all but the first column to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, " | ".join(ruler))
    return "\n".join(f"| {line} |" for line in lines)


def machine(*packages: str) -> Summary:
    """What the figures depend on beside the code."""
    return {
        "system": platform.system(),
        "cores": os.cpu_count(),
        platform.python_implementation(): platform.python_version(),
        **{package: version(package) for package in packages},
    }


def report(
    races: Sequence[Race],
    about: Summary,
    *,
    as_json: bool,
    unit: tuple[str, float],
) -> None:
    """Print the tables, or everything as JSON."""
    if as_json:
        print(json.dumps({"machine": about, "races": [race.summary() for race in races]}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print("Medians, and in brackets the quartiles, of the ratios within each round.")
    for race in races:
        print(f"\n{race.table(*unit)}")
