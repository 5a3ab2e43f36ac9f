"""Measures the CPU time of `import prolific_async` beside `import aiohttp`, in fresh interpreters.

"process" is the user and system time of the whole interpreter, start and end included; "import" is
that of the statement alone. "a client" makes one as well, which imports what calls need, and "the
dependencies" are imported alone. "nothing" shows the cost of an interpreter that imports nothing,
and "aiohttp, again" the noise.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.comparison import Comparison, report
from benchmarks.tables import machine

PROGRAM = """
from time import process_time
begin = process_time()
{statement}
print(process_time() - begin)
"""
AIOHTTP = "import aiohttp"
STATEMENTS = {
    "prolific_async": "import prolific_async",
    "a client": "import prolific_async; prolific_async.ProlificClient('token')",
    "the dependencies": "import aiohttp, attrs, backoff, cattrs",
    "aiohttp": AIOHTTP,
    "aiohttp, again": AIOHTTP,
    "nothing": "pass",
}
# The second import must find compiled files, whatever the environment says about writing them.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(statement: str) -> dict[str, float]:
    """Return the CPU seconds of an interpreter that runs `statement`, and of the statement."""
    command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    before = cpu_of_children()
    child = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    return {"process": cpu_of_children() - before, "import": float(child.stdout)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    ratios = (("process", "aiohttp"), ("import", "aiohttp"))
    comparison = Comparison("import", tuple(STATEMENTS), ratios)
    for statement in STATEMENTS.values():
        measure(statement)  # compiles every module to bytecode
    for subject in comparison.turns(2 if options.quick else options.rounds):
        comparison.add(subject, **measure(STATEMENTS[subject]))
    report([comparison], machine("aiohttp"), as_json=options.json, unit=("ms", 1e3))


if __name__ == "__main__":
    main()
