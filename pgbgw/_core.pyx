# cython: language_level=3, auto_pickle=False
"""The compiled core: rows in PostgreSQL's binary format, and the back-off and the calendar that emitted workers use.

The layout of a row is told in core/wire.h; the layout of each value is what its type's send function writes
(``int8send``, ``timestamptz_send``, ``jsonb_send`` and so on). All numbers come in network byte order and are put
together from bytes, so that the machine's own order does not matter.

The parts are in core/: types and layouts, values, streams, jobs, results of libpq, columns, the encoder, the calendar.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.datetime cimport import_datetime
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_RawCalloc
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_DECREF
from cpython.unicode cimport PyUnicode_DecodeUTF8, PyUnicode_FromObject
from libc.errno cimport EIO
from libc.stdint cimport (
    INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
)
from libc.stddef cimport ptrdiff_t
from libc.string cimport memcmp, memcpy, memmove, memset

__all__ = [
    "Columns", "CopyDecoder", "CopyEncoder", "CopyError", "CopyReceiver", "Cron", "CronError", "Held", "Job",
    "JobDecoder", "JobRows", "Layout", "Row", "backoff", "copy_columns", "copy_jobs", "decode_copy", "encode_copy",
    "first_result", "interval_due", "is_plain", "lease_keys", "of_each_layout", "result_columns", "result_jobs",
    "result_layout", "result_tuples", "send_all", "transport",
]

include "core/headers.pxi"
include "core/types.pxi"
include "core/values.pxi"
include "core/layout.pxi"
include "core/stream.pxi"
include "core/job.pxi"
include "core/result.pxi"
include "core/encode.pxi"
include "core/rows.pxi"
include "core/columns.pxi"
include "core/receive.pxi"
include "core/exchange.pxi"
include "core/backoff.pxi"
include "core/calendar.pxi"
