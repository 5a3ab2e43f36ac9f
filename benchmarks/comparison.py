"""Comparison of several subjects on a machine that is never quiet.

On a shared machine times vary by tens of percent, but the ratio of two measurements made right
after each other does not. So subjects take short turns in a random order, ratios are taken within a
round, and the median over the rounds is reported. Listing the baseline a second time shows how far
the medians can be trusted: its ratio should be 1.00.
"""

import json
import random
import statistics
from collections.abc import Collection, Iterator, Sequence

import attrs

from benchmarks.tables import Machine, markdown, one_line

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
class Comparison:
    """The samples of subjects that take turns: named measures in seconds, one set a round.

    `ratios` are pairs of a measure and the subject whose value counts as 1.00. Subjects in `slow`
    take part in every tenth round only, since they would take most of the time.
    """

    title: str
    subjects: Sequence[str]
    ratios: Sequence[tuple[str, str]]
    slow: Collection[str] = ()
    _rounds: list[dict[str, dict[str, float]]] = attrs.field(init=False, factory=list)

    def turns(self, rounds: int) -> Iterator[str]:
        """Yield the subject to measure next, for whose sample `add` is to be called."""
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
        """Return a Markdown table with times in `unit`, of which a second has `per_second`."""
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
        """Return the seconds, the ratios and the samples of every round, for JSON."""
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


def report(
    comparisons: Sequence[Comparison],
    about: Machine,
    *,
    as_json: bool,
    unit: tuple[str, float],
) -> None:
    """Print the tables, or everything as JSON."""
    if as_json:
        summaries = [comparison.summary() for comparison in comparisons]
        print(json.dumps({"machine": about, "comparisons": summaries}, indent=1))
        return
    print(one_line(about))
    print("Medians, and in brackets the quartiles, of the ratios within each round.")
    for comparison in comparisons:
        print(f"\n{comparison.table(*unit)}")
