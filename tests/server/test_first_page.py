"""The beginning of docs/client.md, step by step, as it is written there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgbgw.faults.waiting import eventually
from tests.unit.test_docs import ROOT, Block, blocks


@pytest.fixture
def folder() -> Iterator[Path]:
    # the user that runs the server as root can't reach the folders of pytest
    with tempfile.TemporaryDirectory(prefix="pgbgw-page-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def steps() -> list[Block]:
    """The blocks of the first section."""
    page = ROOT / "docs" / "client.md"
    text = page.read_text(encoding="utf-8")
    section = text.partition("\n## ")[2].partition("\n## ")[0]
    return [block for block in blocks(page) if block.text in section]


def test_the_steps_of_the_first_page(folder: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = []
    for block in steps():
        if block.note.startswith("file: "):
            (folder / block.note.removeprefix("file: ")).write_text(block.text)
        else:
            assert block.language == "sh"
            commands += block.text.splitlines()
    assert sorted(path.name for path in folder.iterdir()) == ["handlers.py", "send.py", "shop.py"]
    install, run, send, consume = commands
    # tests/packaging installs it into a fresh environment; here it is that of the tests
    assert install == "pip install pgbgw"
    try:
        for command in (run, send):
            ran = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stderr
        delivered = folder / "delivered"
        with (
            delivered.open("w") as out,
            subprocess.Popen(consume.split(), cwd=folder, env=environment, stdout=out, stderr=out) as process,
        ):
            eventually(lambda: delivered.read_text().count("hello") == 100, 60, "a hundred mails")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        told = delivered.read_text()
        # not by lines: print writes a text and its end apart, and handlers print in several threads at once
        assert sorted(re.findall(r"to \d+@example\.org: hello", told)) == sorted(
            f"to {number}@example.org: hello" for number in range(100)
        )
        assert "100 done, 0 failed, 0 released, 0 lost" in told
        left = subprocess.run(["pgbgw", "jobs", "counts", "mail"], cwd=folder, env=environment, capture_output=True)
        assert b"ready" in left.stdout
    finally:
        subprocess.run(["pgbgw", "stop"], cwd=folder, env=environment, check=True, capture_output=True)
