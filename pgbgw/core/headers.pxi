# What the C headers beside this file declare.

cdef extern from "Python.h":
    ctypedef void (*destructor)(PyObject *) noexcept
    ctypedef struct PyTypeObject:
        Py_ssize_t tp_basicsize
        destructor tp_dealloc

    PyObject *PyTuple_New(Py_ssize_t size)
    void PyTuple_SET_ITEM(PyObject *row, Py_ssize_t index, PyObject *item)
    PyObject *Py_NewRef(PyObject *item)
    void Py_DECREF_pointer "Py_DECREF"(PyObject *item)
    PyObject *PyErr_Occurred()
    bytes PyBytes_FromStringAndSize(const char *data, Py_ssize_t size)
    void PyObject_GC_UnTrack(PyObject *item)

cdef extern from "wire.h" nogil:
    enum:
        PGBGW_MAX_SIZE
        PGBGW_MAX_COLUMNS
        PGBGW_JSONB_VERSION
        PGBGW_FIRST_DAY
        PGBGW_LAST_DAY
        PGBGW_UNIX_DAYS

    const int64_t PGBGW_DAY

    uint16_t pgbgw_get16(const uint8_t *data)
    uint32_t pgbgw_get32(const uint8_t *data)
    uint64_t pgbgw_get64(const uint8_t *data)
    void pgbgw_put16(uint8_t *data, uint16_t value)
    void pgbgw_put32(uint8_t *data, uint32_t value)
    void pgbgw_put64(uint8_t *data, uint64_t value)

    ctypedef struct pgbgw_field:
        int32_t length
        const uint8_t *data

    ctypedef struct pgbgw_run:
        pass

    ctypedef struct pgbgw_shape:
        int32_t columns
        int32_t *fixed
        int32_t *place
        uint32_t *expected
        pgbgw_run *run

    ctypedef enum pgbgw_verdict:
        PGBGW_WHOLE
        PGBGW_PART
        PGBGW_COUNT
        PGBGW_NEGATIVE
        PGBGW_LARGE
        PGBGW_LENGTH
        PGBGW_ROW

    ctypedef struct pgbgw_walked:
        int64_t size
        int32_t column
        int32_t length

    ctypedef struct pgbgw_date:
        int64_t day
        int32_t year
        int32_t month
        int32_t day_of_month

    void pgbgw_shape_runs(pgbgw_shape *shape)
    pgbgw_verdict pgbgw_walk(const pgbgw_shape *shape, const uint8_t *row, int64_t size, pgbgw_walked *walked)
    pgbgw_field pgbgw_next_field(const uint8_t **place)
    pgbgw_field pgbgw_field_at(const uint8_t *row, int32_t column)
    int64_t pgbgw_row_size(const pgbgw_shape *shape, const pgbgw_field *fields, int32_t *wrong)
    uint8_t *pgbgw_put_row(uint8_t *place, const pgbgw_field *fields, int32_t columns)
    void pgbgw_date_of(int64_t day, pgbgw_date *date)
    int64_t pgbgw_day_of(int32_t year, int32_t month, int32_t day_of_month)

cdef extern from "objects.h":
    ctypedef enum pgbgw_kind:
        PGBGW_BYTES
        PGBGW_TEXT
        PGBGW_JSONB_TEXT
        PGBGW_JSONB_BYTES
        PGBGW_BOOL
        PGBGW_INT2
        PGBGW_INT4
        PGBGW_INT8
        PGBGW_OID
        PGBGW_FLOAT4
        PGBGW_FLOAT8
        PGBGW_TIMESTAMP
        PGBGW_TIMESTAMPTZ
        PGBGW_DATE
        PGBGW_TIME
        PGBGW_TIMETZ
        PGBGW_INTERVAL
        PGBGW_NUMERIC
        PGBGW_UUID
        PGBGW_INET
        PGBGW_CIDR
        PGBGW_ARRAY

    ctypedef struct pgbgw_memory:
        pass

    void pgbgw_memory_clear(pgbgw_memory *memory)
    PyObject *pgbgw_make_common(int kind, const uint8_t *data, int32_t length, pgbgw_memory *memory)
    bint pgbgw_put_items(
        PyObject *row, const pgbgw_shape *shape, const uint8_t *kinds, pgbgw_memory *memory, const uint8_t **place,
        pgbgw_field *field, int32_t *column
    )
    bint pgbgw_put_fields(
        PyObject *row, const pgbgw_shape *shape, const uint8_t *kinds, pgbgw_memory *memory, const pgbgw_field *fields,
        int32_t *column
    )
    int pgbgw_append(list rows, PyObject *item) except -1

cdef extern from "slab.h":
    Py_ssize_t pgbgw_live_slabs

    ctypedef struct pgbgw_slab:
        PyObject *chunk

    enum:
        PGBGW_GC_HEAD

    ctypedef struct pgbgw_job:
        pass

    ctypedef struct pgbgw_held:
        pass

    ctypedef struct pgbgw_maker:
        PyTypeObject *type
        PyObject *chunk
        pgbgw_slab *slab
        size_t head
        size_t stride
        Py_ssize_t used
        Py_ssize_t slots

    PyObject *pgbgw_make_job(pgbgw_maker *maker, const uint8_t *row, int32_t size, Py_ssize_t wanted)
    void pgbgw_maker_done(pgbgw_maker *maker)
    void pgbgw_job_dealloc(PyObject *self) noexcept
    void pgbgw_held_keep(PyObject *self, PyObject *value)
    void pgbgw_held_dealloc(PyObject *self) noexcept

cdef extern from "libpq.h":
    ctypedef struct pgbgw_libpq:
        int (*version)() noexcept
        int (*status)(const void *result) noexcept
        int (*rows)(const void *result) noexcept
        int (*columns)(const void *result) noexcept
        unsigned int (*type)(const void *result, int column) noexcept
        int (*format)(const void *result, int column) noexcept
        int (*length)(const void *result, int row, int column) noexcept
        int (*is_null)(const void *result, int row, int column) noexcept
        char *(*value)(const void *result, int row, int column) noexcept

    const pgbgw_field *const *pgbgw_result_values(const pgbgw_libpq *libpq, const void *result)
    bint pgbgw_libpq_find(pgbgw_libpq *libpq, const char *path)

    bint pgbgw_libpq_plain(const char *path, const void *connection)

cdef extern from "receive.h" nogil:
    enum:
        PGBGW_CLOSED
        PGBGW_READABLE
        PGBGW_RECEIVED_SIZE
        PGBGW_RECEIVED_LEAST

    int pgbgw_wait(int socket, bint write, int milliseconds)
    ptrdiff_t pgbgw_receive(int socket, uint8_t *place, size_t size, int milliseconds)

cdef extern from "receive.h":
    bint pgbgw_is_alone(PyObject *item)
    Py_ssize_t pgbgw_find_alone(PyObject *items, Py_ssize_t size)

cdef extern from "encode.h":
    ctypedef struct pgbgw_buffer:
        uint8_t *data
        size_t size

    ctypedef enum pgbgw_outcome:
        PGBGW_FAILED
        PGBGW_CAREFUL
        PGBGW_WRITTEN

    uint8_t *pgbgw_reserve(pgbgw_buffer *buffer, size_t size)
    pgbgw_outcome pgbgw_put_field(pgbgw_buffer *buffer, const void *data, size_t size, uint8_t version)
    pgbgw_outcome pgbgw_put_values(
        pgbgw_buffer *buffer, const pgbgw_shape *shape, const uint8_t *kinds, PyObject *values, size_t before,
        int32_t *column
    )

cdef extern from "columns.h" nogil:
    enum:
        PGBGW_VIEW_SIZE
        PGBGW_WINDOW_BITS

    ctypedef struct pgbgw_column:
        int kind
        int32_t width
        uint8_t *values
        uint8_t *valid
        int64_t nulls

    int32_t pgbgw_column_width(int kind)
    pgbgw_field pgbgw_view_field(const uint8_t *place, const uint8_t *base)
    int64_t pgbgw_fill_columns(
        pgbgw_column *columns, int32_t width, const uint8_t *base, const uint8_t *rows, int64_t count, int32_t *wrong,
        pgbgw_field *field
    )
    int64_t pgbgw_find_midnight(const pgbgw_column *column, int64_t count)

cdef extern from "arrow.h":
    struct ArrowSchema:
        ArrowSchema **children
        void (*release)(ArrowSchema *) noexcept

    struct ArrowArray:
        const void **buffers
        ArrowArray **children
        void (*release)(ArrowArray *) noexcept

    struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream *, ArrowSchema *) noexcept
        int (*get_next)(ArrowArrayStream *, ArrowArray *) noexcept
        const char *(*get_last_error)(ArrowArrayStream *) noexcept
        void (*release)(ArrowArrayStream *) noexcept
        void *private_data

    bint pgbgw_make_schema(ArrowSchema *schema, const char *format, const char *name, int64_t children)
    bint pgbgw_make_array(
        ArrowArray *array, PyObject *owner, int64_t length, int64_t nulls, int64_t buffers, int64_t children
    )
    void pgbgw_release_stream(ArrowArrayStream *stream) noexcept
    void pgbgw_schema_capsule(object capsule) noexcept
    void pgbgw_array_capsule(object capsule) noexcept
    void pgbgw_stream_capsule(object capsule) noexcept

import_datetime()
