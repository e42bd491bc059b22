"""A tiny extension written by hand, one SQL function and one worker, to try building and running without codegen.

Its Makefile is the template that every emitted tree has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import jinja2

from pgbgw.origin import Origin

__all__ = ["TinyTree", "tiny_tree"]

MODULE_C = """\
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"

#include "tiny.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(@NAME@_answer);

void
_PG_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		tiny_register();
}

Datum
@NAME@_answer(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(TINY_ANSWER);
}
"""

WORKER_C = """\
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/wait_event.h"

#include "tiny.h"

PGDLLEXPORT void @NAME@_main(Datum main_arg);

void
@NAME@_main(Datum main_arg)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	ereport(LOG, (errmsg("tiny worker is ready")));
	for (;;)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1L, PG_WAIT_EXTENSION);
	}
}

void
tiny_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_name, "tiny worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "tiny worker", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "@NAME@", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "@NAME@_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
"""

TINY_H = """\
#define TINY_ANSWER 42

extern void tiny_register(void);
"""

CONTROL = """\
comment = 'a tiny extension'
default_version = '1.0'
module_pathname = '$libdir/@NAME@'
relocatable = true
"""

SCRIPT = """\
CREATE FUNCTION @NAME@_answer() RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
"""


@dataclass(frozen=True)
class TinyTree:
    """What build() takes: the files of an emitted tree, and where its lines come from."""

    files: Mapping[str, str]
    extension: str
    version: str
    origins: Mapping[tuple[str, int], Origin] = field(default_factory=dict)

    def origin_of(self, path: str, line: int) -> Origin | None:
        return self.origins.get((path, line))

    def with_file(self, path: str, text: str) -> TinyTree:
        return replace(self, files={**self.files, path: text})


def tiny_tree(name: str = "tiny") -> TinyTree:
    sources = {
        "Makefile": _makefile(name),
        f"{name}.control": CONTROL,
        f"{name}--1.0.sql": SCRIPT,
        "tiny.h": TINY_H,
        f"{name}.c": MODULE_C,
        f"{name}_worker.c": WORKER_C,
    }
    return TinyTree({path: text.replace("@NAME@", name) for path, text in sources.items()}, name, "1.0")


def _makefile(name: str) -> str:
    environment = jinja2.Environment(
        line_statement_prefix="//%",
        variable_start_string="@{",
        variable_end_string="}",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    template = Path(__file__).parents[2] / "c_templates" / "Makefile.in"
    module = SimpleNamespace(extension=name, version="1.0", objects=[f"{name}.o", f"{name}_worker.o"], regress=name)
    return environment.from_string(template.read_text()).render(module=module)
