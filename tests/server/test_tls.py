"""Connections with TLS: rows can't be taken from the socket past libpq, and everything else is as without."""

from __future__ import annotations

import importlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbgw._core import is_plain
from pgbgw.build import Pg
from pgbgw.client.tap import can_tap
from tests.server.declarations import post as declared
from tests.server.running import module_of, serving

FOLDER = Path(__file__).parent / "declarations"

Mail = declared.Mail
mail = declared.mail
# The package has a function of that name.
STREAM = importlib.import_module("pgbgw.client.stream")


def has_tls(pg: Pg) -> bool:
    told = subprocess.run([pg.pg_config, "--configure"], check=True, capture_output=True, text=True).stdout
    return "openssl" in told


@pytest.fixture(scope="module")
def conninfo(pg: Pg) -> Iterator[str]:
    """How the server is reached with TLS; the one of the wheel is built without."""
    if not has_tls(pg):
        pytest.skip("this server is built without TLS")
    with serving(pg, module_of(FOLDER / "post.py"), (FOLDER / "post.sql").read_text()) as server:
        data = Path(server.value("SHOW data_directory"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
             "-keyout", data / "server.key", "-out", data / "server.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
        owner = data.stat()
        for name in ("server.key", "server.crt"):
            os.chown(data / name, owner.st_uid, owner.st_gid)
        (data / "server.key").chmod(0o600)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("hostssl all all 127.0.0.0/8 trust\n")
        # an address that no other server listens at
        address = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        server.rows(f"ALTER SYSTEM SET listen_addresses = '{address}'")
        server.rows("ALTER SYSTEM SET ssl = on")
        server.cluster.restart()
        user = server.value("SELECT current_user::text")
        yield f"host={address} port=5432 dbname=postgres user={user} sslmode=require"


def test_a_stream_goes_by_libpq_and_gives_the_same_rows(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[bool] = []

    def noted(connection: Any) -> bool:
        ways.append(can_tap(connection))
        return ways[-1]

    monkeypatch.setattr(STREAM, "can_tap", noted)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        assert connection.pgconn.ssl_in_use
        assert not is_plain(connection.pgconn)
        mail.enqueue_many(connection, (Mail(address=f"a{n}", body={"n": n}) for n in range(3000)))
        pieces = list(mail.stream(connection, exclusive=True, size=1000))
        assert [len(piece) for piece in pieces] == [1000] * 3
        assert [job.payload.body for piece in pieces for job in piece] == [{"n": n} for n in range(3000)]
        assert ways == [False]
        # a claim waits for its answer at the socket, where a record may hold several messages, or a part of one
        jobs = mail.claim(connection, 3000)
        assert len(jobs) == 3000
        assert mail.acknowledge(connection, jobs) == []
        assert connection.execute("SELECT 1").fetchone() == (1,)
