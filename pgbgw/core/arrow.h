/*-------------------------------------------------------------------------
 *
 * arrow.h
 *	  The Arrow C data and stream interfaces, and how columns are handed over.
 *
 * The structs are those of "The Arrow C data interface" and "The Arrow C
 * stream interface", which ask for them to be copied.  What is handed over
 * refers to a Python object that holds its memory, and lets it go on release,
 * which may come from any thread.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_ARROW_H
#define PGBGW_ARROW_H

#include <Python.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema
{
	const char *format;
	const char *name;
	const char *metadata;
	int64_t		flags;
	int64_t		n_children;
	struct ArrowSchema **children;
	struct ArrowSchema *dictionary;
	void		(*release) (struct ArrowSchema *);
	void	   *private_data;
};

struct ArrowArray
{
	int64_t		length;
	int64_t		null_count;
	int64_t		offset;
	int64_t		n_buffers;
	int64_t		n_children;
	const void **buffers;
	struct ArrowArray **children;
	struct ArrowArray *dictionary;
	void		(*release) (struct ArrowArray *);
	void	   *private_data;
};

#endif							/* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream
{
	int			(*get_schema) (struct ArrowArrayStream *, struct ArrowSchema *out);
	int			(*get_next) (struct ArrowArrayStream *, struct ArrowArray *out);
	const char *(*get_last_error) (struct ArrowArrayStream *);
	void		(*release) (struct ArrowArrayStream *);
	void	   *private_data;
};

#endif							/* ARROW_C_STREAM_INTERFACE */

static inline void
pgbgw_let_go(PyObject *owner)
{
	PyGILState_STATE state;

	/* After the interpreter has ended there is nobody to count for. */
	if (owner == NULL || !Py_IsInitialized())
		return;
	state = PyGILState_Ensure();
	Py_DECREF(owner);
	PyGILState_Release(state);
}

/* Children, and behind them what their parent's format and name point to. */
static void
pgbgw_release_schema(struct ArrowSchema *schema)
{
	int64_t		child;

	for (child = 0; child < schema->n_children; child++)
	{
		if (schema->children[child]->release != NULL)
			schema->children[child]->release(schema->children[child]);
	}
	PyMem_RawFree(schema->private_data);
	schema->release = NULL;
}

/*
 * pgbgw_make_schema
 *		A schema of this format and name with room for children; 0 if there is
 *		no memory.
 */
static inline int
pgbgw_make_schema(struct ArrowSchema *schema, const char *format, const char *name, int64_t children)
{
	size_t		each = sizeof(struct ArrowSchema *) + sizeof(struct ArrowSchema);
	size_t		format_size = strlen(format) + 1;
	char	   *memory = PyMem_RawCalloc(1, (size_t) children * each + format_size + strlen(name) + 1);
	struct ArrowSchema *made;
	int64_t		child;

	if (memory == NULL)
		return 0;
	memset(schema, 0, sizeof(*schema));
	schema->children = (struct ArrowSchema **) memory;
	made = (struct ArrowSchema *) (schema->children + children);
	for (child = 0; child < children; child++)
		schema->children[child] = made + child;
	schema->format = strcpy(memory + (size_t) children * each, format);
	schema->name = strcpy(memory + (size_t) children * each + format_size, name);
	schema->flags = ARROW_FLAG_NULLABLE;
	schema->n_children = children;
	schema->private_data = memory;
	schema->release = pgbgw_release_schema;
	return 1;
}

typedef struct
{
	PyObject   *owner;
	void	   *memory;			/* pointers to buffers and children, and the children */
} pgbgw_array_private;

static void
pgbgw_release_array(struct ArrowArray *array)
{
	pgbgw_array_private *private = array->private_data;
	int64_t		child;

	for (child = 0; child < array->n_children; child++)
	{
		if (array->children[child]->release != NULL)
			array->children[child]->release(array->children[child]);
	}
	pgbgw_let_go(private->owner);
	PyMem_RawFree(private);
	array->release = NULL;
}

/*
 * pgbgw_make_array
 *		An array with room for buffers and children, whose memory "owner" holds;
 *		0 if there is no memory.
 */
static inline int
pgbgw_make_array(struct ArrowArray *array, PyObject *owner, int64_t length, int64_t nulls, int64_t buffers,
				 int64_t children)
{
	size_t		pointers = (size_t) (buffers + children) * sizeof(void *);
	pgbgw_array_private *private = PyMem_RawCalloc(1, sizeof(*private) + pointers
												   + (size_t) children * sizeof(struct ArrowArray));
	struct ArrowArray *made;
	int64_t		child;

	if (private == NULL)
		return 0;
	memset(array, 0, sizeof(*array));
	private->owner = Py_NewRef(owner);
	array->length = length;
	array->null_count = nulls;
	array->n_buffers = buffers;
	array->n_children = children;
	array->buffers = (const void **) (private + 1);
	array->children = (struct ArrowArray **) (array->buffers + buffers);
	made = (struct ArrowArray *) (array->children + children);
	for (child = 0; child < children; child++)
		array->children[child] = made + child;
	array->private_data = private;
	array->release = pgbgw_release_array;
	return 1;
}

static void
pgbgw_release_stream(struct ArrowArrayStream *stream)
{
	pgbgw_let_go(stream->private_data);
	stream->release = NULL;
}

/* Capsules: what nobody has taken out of one is released with it. */

static void
pgbgw_schema_capsule(PyObject *capsule)
{
	struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");

	if (schema->release != NULL)
		schema->release(schema);
	PyMem_RawFree(schema);
}

static void
pgbgw_array_capsule(PyObject *capsule)
{
	struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");

	if (array->release != NULL)
		array->release(array);
	PyMem_RawFree(array);
}

static void
pgbgw_stream_capsule(PyObject *capsule)
{
	struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");

	if (stream->release != NULL)
		stream->release(stream);
	PyMem_RawFree(stream);
}

#endif							/* PGBGW_ARROW_H */
