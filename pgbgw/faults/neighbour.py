"""A library of somebody else's that is preloaded beside ours, and misbehaves."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pgbgw.build.pgxs import build
from pgbgw.faults.stage import Stage
from pgbgw.origin import Origin

__all__ = ["NEIGHBOUR", "install_neighbour"]

NEIGHBOUR = "pgbgw_neighbour"
"""The library. With pgbgw_neighbour.breaks_chain it has a hook that forgets the one before it, else a bad worker."""

_SOURCE = """\
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);
PGDLLEXPORT void pgbgw_neighbour_main(Datum main_arg);

static bool breaks_chain = false;

static void
forgetful_startup(void)
{
	/* the hook that was there before would have to be called here */
}

void
pgbgw_neighbour_main(Datum main_arg)
{
	BackgroundWorkerUnblockSignals();
	ereport(FATAL, (errmsg("neighbour ends")));
}

void
_PG_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomBoolVariable("pgbgw_neighbour.breaks_chain", "Whether other startup hooks are forgotten.", NULL,
		&breaks_chain, false, PGC_POSTMASTER, 0, NULL, NULL, NULL);
	if (breaks_chain)
	{
		shmem_startup_hook = forgetful_startup;
		return;
	}
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_name, BGW_MAXLEN, "neighbour");
	snprintf(worker.bgw_type, BGW_MAXLEN, "neighbour");
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "pgbgw_neighbour");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "pgbgw_neighbour_main");
	RegisterBackgroundWorker(&worker);
}
"""

# The flags that the server was built with may be unknown to the compiler at hand.
_MAKEFILE = """\
MODULE_big = pgbgw_neighbour
OBJS = pgbgw_neighbour.o
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

override CFLAGS := -O1 $(CFLAGS_SL)
override CPPFLAGS := -I$(includedir_server)
override LDFLAGS :=
"""


@dataclass(frozen=True, slots=True)
class _Tree:
    """What ``build`` takes."""

    files: Mapping[str, str]
    extension: str
    version: str

    def origin_of(self, path: str, line: int) -> Origin | None:
        """Nothing of it was declared."""
        return None


def install_neighbour(stage: Stage) -> None:
    """Compile the library for the stage's server and install it there; it does nothing before it is preloaded.

    Raises:
        BuildError: it does not compile.
        InstallError: it can't be installed.
    """
    tree = _Tree({"Makefile": _MAKEFILE, f"{NEIGHBOUR}.c": _SOURCE}, NEIGHBOUR, "1.0")
    with tempfile.TemporaryDirectory(prefix="pgbgw-neighbour-") as folder:
        stage.cluster.install(build(tree, stage.cluster.pg, Path(folder) / NEIGHBOUR))
