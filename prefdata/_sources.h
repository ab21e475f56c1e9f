/* The sources of an epoch as its compiled parts see them: a file and the arrays of its index (mixtures/index.py). */
#ifndef PREFDATA_SOURCES_H
#define PREFDATA_SOURCES_H
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

enum { SHIFT = 40 }; /* a code is source << SHIFT | row, as in mixtures/draw.py */
static const uint64_t ROW = ((uint64_t)1 << SHIFT) - 1;

typedef struct {
    int file;
    Py_buffer starts, lengths, places, prefix;
    uint64_t rows, before; /* rows of this source, and of those before it */
} source;

typedef struct {
    source *items;
    size_t count;
    uint64_t rows;
} sources;

static void release(sources *all) {
    for (size_t i = 0; i < all->count; i++) {
        PyBuffer_Release(&all->items[i].starts);
        PyBuffer_Release(&all->items[i].lengths);
        PyBuffer_Release(&all->items[i].places);
        PyBuffer_Release(&all->items[i].prefix);
    }
    free(all->items);
}

/* [(file, starts, lengths, places, prefix)]; false with an exception set. */
static int parse(PyObject *list, sources *all) {
    size_t of = (size_t)PyList_Size(list);
    *all = (sources){calloc(of + 1, sizeof(source)), 0, 0};
    if (!all->items) {
        PyErr_NoMemory();
        return 0;
    }
    while (all->count < of) {
        source *one = &all->items[all->count];
        if (!PyArg_ParseTuple(PyList_GetItem(list, (Py_ssize_t)all->count), "iy*y*y*y*", &one->file, &one->starts,
                              &one->lengths, &one->places, &one->prefix))
            return 0;
        all->count++;
        one->rows = (uint64_t)one->starts.len / 8;
        one->before = all->rows;
        all->rows += one->rows;
        if ((uint64_t)one->lengths.len / 4 < one->rows || (uint64_t)one->places.len / 2 < one->rows) {
            PyErr_SetString(PyExc_IndexError, "an index of unequal parts");
            return 0;
        }
    }
    return 1;
}

static int refuse(const char *why) {
    PyErr_SetString(PyExc_IndexError, why);
    return 0;
}

#endif
