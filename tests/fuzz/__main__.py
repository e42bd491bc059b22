"""``python -m tests.fuzz [TARGET...] [--seconds N | --runs N] [--seed N]``: fuzz, and say what was found.

The inputs that reach something new are kept in the cache of ``tests.fuzz.building``, and are where the next run begins;
so is the log of a run. An input with which something goes wrong stands in ``findings``; ``python -m tests.fuzz TARGET
--replay FILE`` runs it again. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import re
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.building import ROOT, cache, core, environment

TARGETS = {
    "decoder": "streams of COPY BINARY, to jobs, tuples and columns",
    "results": "results of libpq, made by hand or received from a hostile server",
    "encoder": "rows of Python objects to COPY BINARY",
    "receiver": "what a server says during a COPY, off a socket",
    "schedule": "texts as schedules, and when they are due by any clocks",
}

# An input that takes longer, in seconds of a clock that others may hold up, or allocates more at once, in MB, is a
# finding: no length is believed before its bytes are there.
_LONGEST = 120
_LARGEST = 256

# How long one process fuzzes, in seconds: what sanitisers hold on to, 3 GB after ten thousands of inputs, is no leak.
_TURN = 120


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a fuzzer: where it keeps inputs, and how far it goes."""

    target: str
    library: Path
    folder: Path
    seconds: int
    runs: int
    seed: int

    def options(self, seconds: int, seed: int) -> list[str]:
        """What libFuzzer is told."""
        corpus = self.folder / "corpus" / self.target
        findings = self.folder / "findings"
        for folder in (corpus, findings):
            folder.mkdir(parents=True, exist_ok=True)
        return [
            *(str(corpus), f"-artifact_prefix={findings}/{self.target}-", f"-seed={seed}"),
            *(f"-max_total_time={seconds}", f"-runs={self.runs}", "-max_len=2048", "-len_control=20"),
            *(f"-timeout={_LONGEST}", f"-report_slow_units={_LONGEST}", f"-malloc_limit_mb={_LARGEST}"),
            *("-rss_limit_mb=4096", "-print_final_stats=1"),
        ]

    def go(self) -> bool:
        """Whether nothing was found, by one process after another: sanitisers give memory back at the end only."""
        began, inputs, turn = time.monotonic(), 0, 0
        while True:
            left = self.seconds - int(time.monotonic() - began) if self.seconds else _TURN
            counted = self.turn(min(left, _TURN) if self.runs < 0 else self.seconds, self.seed + turn, inputs)
            if counted is None:
                return False
            inputs, turn = inputs + counted, turn + 1
            if self.runs >= 0 or (self.seconds and time.monotonic() - began >= self.seconds):
                return True

    def turn(self, seconds: int, seed: int, before: int) -> int | None:
        """How many new inputs one process has seen, without a finding; None after one."""
        log = self.folder / f"{self.target}.log"
        started = time.monotonic()
        options = self.options(seconds, seed)
        # A fuzzer ends at once, and leaves behind what it has put into its folder.
        with log.open("w") as told, tempfile.TemporaryDirectory(prefix="pgbgw-fuzz-") as temporary:
            command = [sys.executable, "-m", "tests.fuzz.child", self.target, *options]
            settings = environment(self.library) | {"TMPDIR": temporary}
            ran = subprocess.run(command, cwd=ROOT, env=settings, stdout=told, stderr=told)
        text = log.read_text(errors="replace")
        took = f"{time.monotonic() - started:.0f} s, seed {seed}"
        counted = re.findall(r"stat::number_of_executed_units: +(\d+)", text)
        # what was kept before is read first, and is nothing new
        known = re.findall(r"^#(\d+)\s+INITED", text, re.MULTILINE)
        reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
        if ran.returncode == 0 and counted and reached:
            edges, features, kept = reached[-1]
            inputs = int(counted[-1]) - (int(known[-1]) if known else int(counted[-1]))
            print(
                f"{self.target}: no finding in {before + inputs} new inputs, the last {inputs} in {took}: "
                f"{edges} edges, {features} features, {kept} inputs kept",
                flush=True,
            )
            return inputs
        print(f"{self.target}: FOUND after {took}; {log} ends with", flush=True)
        print(*text.splitlines()[-60:], sep="\n", flush=True)
        for path in re.findall(r"Test unit written to (\S+)", text):
            print(f"Again: .venv/bin/python -m tests.fuzz {self.target} --replay {path}", flush=True)
        return None


def main(arguments: list[str]) -> int:
    """Run the targets that are named, or all, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the compiled core.")
    told = "; ".join(f"{name}: {what}" for name, what in TARGETS.items())
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all unless given; {told}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; 60 unless given, 0 without a limit")
    parser.add_argument("--runs", type=int, default=-1, help="inputs for each target; without a limit unless given")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31) + 1, help="of the random numbers")
    parser.add_argument("--folder", type=Path, default=cache(), help="of the corpus, in place of the cache")
    parser.add_argument("--replay", type=Path, help="run this input and nothing else")
    options = parser.parse_args(arguments)
    library = core()
    if options.replay is not None:
        command = [sys.executable, "-m", "tests.fuzz.child", *options.targets, str(options.replay)]
        return subprocess.run(command, cwd=ROOT, env=environment(library)).returncode
    targets = options.targets or list(TARGETS)
    runs = [
        Run(each, library, options.folder.absolute(), options.seconds, options.runs, options.seed) for each in targets
    ]
    # All of them, whatever one of them finds.
    clean = [run.go() for run in runs]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
