/*-------------------------------------------------------------------------
 *
 * slab.h
 *	  Where Job objects lie: side by side, up to 64 in one piece of memory.
 *
 * A slab holds the chunk that its jobs point into, counts those that live,
 * and dies with the last.  So a batch costs one allocation for 64 jobs and one
 * count of references to its chunk.
 *
 * The count is a plain number, which the GIL guards.  A free-threaded build
 * has slabs of one job, whose own count of references decides.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PGBGW_SLAB_H
#define PGBGW_SLAB_H

#include <Python.h>

#include "wire.h"

#ifdef Py_GIL_DISABLED
#define PGBGW_SLAB_JOBS 1
#else
#define PGBGW_SLAB_JOBS 64
#endif

typedef struct
{
	PyObject   *chunk;
	Py_ssize_t	live;			/* jobs, and one for the maker that is at it */
} pgbgw_slab;

/* Begins as the struct does that Cython makes of the class Row. */
typedef struct
{
	PyObject_HEAD
	pgbgw_slab *slab;
	const uint8_t *row;			/* in the bytes of the chunk; it has been walked */
	int32_t		size;			/* of the row */
	int32_t		lost;			/* of a job that is held */
} pgbgw_job;

/* As the struct that Cython makes of the class Held, with an object that may refer to anything. */
typedef struct
{
	pgbgw_job	job;
	PyObject   *kept;
} pgbgw_held;

/*
 * What the collector has before each object that it knows: two words, zero as
 * long as the object is not tracked (InternalDocs/garbage_collector.md of
 * CPython).  A build without the GIL has none.
 */
#ifdef Py_GIL_DISABLED
#define PGBGW_GC_HEAD 0
#else
#define PGBGW_GC_HEAD (2 * sizeof(uintptr_t))
#endif

/* Makes the jobs of one chunk. */
typedef struct
{
	PyTypeObject *type;
	PyObject   *chunk;			/* borrowed */
	pgbgw_slab *slab;
	size_t		head;			/* what a slot has before its job, for the collector */
	size_t		stride;			/* the size of a slot */
	Py_ssize_t	used;			/* of its slots */
	Py_ssize_t	slots;
} pgbgw_maker;

/* For tests, which look for slabs that outlive their jobs. */
static Py_ssize_t pgbgw_live_slabs = 0;

static inline void
pgbgw_slab_release(pgbgw_slab *slab)
{
	if (--slab->live > 0)
		return;
	Py_DECREF(slab->chunk);
	PyObject_Free(slab);
	pgbgw_live_slabs--;
}

/*
 * pgbgw_make_job
 *		A job of the maker's chunk, or NULL with an error set.  "wanted" is how
 *		many are still to come, this one included, as far as is known.
 */
static inline PyObject *
pgbgw_make_job(pgbgw_maker *maker, const uint8_t *row, int32_t size, Py_ssize_t wanted)
{
	pgbgw_job  *job;

	if (maker->used == maker->slots)
	{
		Py_ssize_t	slots = wanted < PGBGW_SLAB_JOBS ? wanted : PGBGW_SLAB_JOBS;
		pgbgw_slab *slab = PyObject_Malloc(sizeof(pgbgw_slab) + (size_t) slots * maker->stride);

		if (slab == NULL)
			return PyErr_NoMemory();
		if (maker->slab != NULL)
			pgbgw_slab_release(maker->slab);
		slab->chunk = Py_NewRef(maker->chunk);
		slab->live = 1;
		pgbgw_live_slabs++;
		maker->slab = slab;
		maker->used = 0;
		maker->slots = slots;
	}
	job = (pgbgw_job *) ((char *) (maker->slab + 1) + (size_t) maker->used++ * maker->stride + maker->head);
	job->slab = maker->slab;
	job->row = row;
	job->size = size;
	job->lost = 0;
	maker->slab->live++;
	if (maker->stride != sizeof(pgbgw_job))
	{
		memset((char *) job - maker->head, 0, maker->head);
		((pgbgw_held *) job)->kept = Py_NewRef(Py_None);
	}
#if defined(Py_GIL_DISABLED) || defined(Py_REF_DEBUG)
	return PyObject_Init((PyObject *) job, maker->type);
#else
	/*
	 * What PyObject_Init does, which is no inline function.  The count is left
	 * alone where it looks like that of an immortal object, as old memory may.
	 */
	memset(job, 0, sizeof(PyObject));
	if (PyType_HasFeature(maker->type, Py_TPFLAGS_HEAPTYPE))
		Py_INCREF(maker->type);
	Py_SET_TYPE((PyObject *) job, maker->type);
	Py_SET_REFCNT((PyObject *) job, 1);
	return (PyObject *) job;
#endif
}

static inline void
pgbgw_maker_done(pgbgw_maker *maker)
{
	if (maker->slab != NULL)
		pgbgw_slab_release(maker->slab);
	maker->slab = NULL;
	maker->used = maker->slots = 0;
}

static void
pgbgw_job_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	pgbgw_slab *slab = ((pgbgw_job *) self)->slab;

	/* A job that its class has refused to make lies in no slab. */
	if (slab == NULL)
		type->tp_free(self);
	else
		pgbgw_slab_release(slab);
	if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE))
		Py_DECREF(type);
}

/*
 * pgbgw_held_keep
 *		Give a job that is held an object to keep.
 *
 * From then on the collector has to know the job, since the object may refer
 * back to it.
 */
static inline void
pgbgw_held_keep(PyObject *self, PyObject *value)
{
	PyObject   *before = ((pgbgw_held *) self)->kept;

	((pgbgw_held *) self)->kept = Py_NewRef(value);
	Py_XDECREF(before);
#ifndef Py_GIL_DISABLED
	if (!PyObject_GC_IsTracked(self))
		PyObject_GC_Track(self);
#endif
}

static void
pgbgw_held_dealloc(PyObject *self)
{
#ifndef Py_GIL_DISABLED
	PyObject_GC_UnTrack(self);
#endif
	Py_CLEAR(((pgbgw_held *) self)->kept);
	pgbgw_job_dealloc(self);
}

#endif							/* PGBGW_SLAB_H */
