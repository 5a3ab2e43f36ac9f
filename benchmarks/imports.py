"""What `import prolific_async` costs beside `import aiohttp`: CPU of fresh interpreters.

"process" is the whole life of the interpreter, user and system time, start and end included;
"import" is the statement alone, as the interpreter itself sees it. "nothing" shows what an
interpreter costs anyway, "aiohttp, again" the noise.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.harness import Race, machine, report

PROGRAM = """
from time import process_time
begin = process_time()
{statement}
print(process_time() - begin)
"""
AIOHTTP = "import aiohttp"
STATEMENTS = {
    "prolific_async": "import prolific_async",
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
    """The CPU seconds of an interpreter that runs `statement`, and of the statement."""
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

    outcome = Race("import", tuple(STATEMENTS), (("process", "aiohttp"), ("import", "aiohttp")))
    for statement in STATEMENTS.values():
        measure(statement)  # compiles what isn't yet
    for subject in outcome.turns(2 if options.quick else options.rounds):
        outcome.add(subject, **measure(STATEMENTS[subject]))
    report([outcome], machine("aiohttp"), as_json=options.json, unit=("ms", 1e3))


if __name__ == "__main__":
    main()
