/* Draw the rows of an epoch, and collect rows of several files into one block in the order they are written.
 *
 * Called by mixtures/draw.py and gather.py, which do the same without it, only slower: a row never becomes a Python
 * object. Rows are read in the order of the files and land at their place in the block. Nothing is decoded; where a
 * row's image path needs a prefix, the index says at which byte.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHIFT = 40 }; /* a code is source << SHIFT | row, as in mixtures/draw.py */
static const uint64_t ROW = ((uint64_t)1 << SHIFT) - 1;

typedef struct {
    int file;
    Py_buffer starts, lengths, places, prefix;
} source;

typedef struct {
    uint64_t code;
    size_t at; /* where the row begins in the block */
} wanted;

static int by_code(const void *a, const void *b) {
    uint64_t left = ((const wanted *)a)->code, right = ((const wanted *)b)->code;
    return (left > right) - (left < right);
}

/* Read `size` bytes, or as many as the file has. */
static size_t read_all(int file, char *into, size_t size, uint64_t from) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file, into + done, size - done, (off_t)(from + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

/* Whether it is one line that opens an object or a list. */
static int is_row(const char *row, size_t size) {
    size_t i = 0;
    while (i < size && (row[i] == ' ' || row[i] == '\t' || row[i] == '\r'))
        i++;
    return i < size && (row[i] == '{' || row[i] == '[') && !memchr(row, '\n', size);
}

/* The first row that does not stand where the index says, or NULL. Rows are read with the byte before and the byte
 * behind them; the one before falls on the end of the row before in the block, or into the block's first byte. */
static const wanted *read_rows(const wanted *rows, size_t count, const source *sources, char *out) {
    for (size_t i = 0; i < count; i++) {
        const source *from = &sources[rows[i].code >> SHIFT];
        uint64_t row = rows[i].code & ROW, start = ((const uint64_t *)from->starts.buf)[row];
        size_t size = ((const uint32_t *)from->lengths.buf)[row], place = ((const uint16_t *)from->places.buf)[row];
        size_t more = place ? (size_t)from->prefix.len : 0, before = start > 0;
        char *at = out + rows[i].at, *line = at + more;
        /* The whole row behind the prefix's room, then what stands before the place to the front. */
        size_t got = read_all(from->file, line - before, before + size + 1, start - before);
        if (got < before + size || !is_row(line, size) || (got > before + size && line[size] != '\n') ||
            (before && line[-1] != '\n' && !(start == 3 && line[-1] == (char)0xBF)) || (more && line[place - 1] != '"'))
            return &rows[i];
        if (before)
            line[-1] = '\n';
        if (more) {
            memmove(at, line, place);
            memcpy(at + place, from->prefix.buf, more);
        }
        line[size] = '\n';
    }
    return NULL;
}

static PyObject *gather(PyObject *self, PyObject *args) {
    PyObject *list, *result = NULL;
    Py_buffer codes, out;
    if (!PyArg_ParseTuple(args, "y*O!w*", &codes, &PyList_Type, &list, &out))
        return NULL;
    size_t count = (size_t)codes.len / 8, parsed = 0, of = (size_t)PyList_Size(list), size = 1, moved = 0;
    source *sources = calloc(of + 1, sizeof *sources);
    wanted *rows = malloc((count + 1) * sizeof *rows);
    if (!sources || !rows) {
        PyErr_NoMemory();
        goto done;
    }
    for (; parsed < of; parsed++) {
        source *one = &sources[parsed];
        if (!PyArg_ParseTuple(PyList_GetItem(list, (Py_ssize_t)parsed), "iy*y*y*y*", &one->file, &one->starts, &one->lengths,
                              &one->places, &one->prefix))
            goto done;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t code;
        memcpy(&code, (const char *)codes.buf + 8 * i, 8);
        uint64_t row = code & ROW;
        const source *from = &sources[code >> SHIFT];
        if (code >> SHIFT >= of || row >= (uint64_t)from->starts.len / 8 || row >= (uint64_t)from->lengths.len / 4 ||
            row >= (uint64_t)from->places.len / 2) {
            PyErr_SetString(PyExc_IndexError, "a row that no index has");
            goto done;
        }
        size_t length = ((const uint32_t *)from->lengths.buf)[row], place = ((const uint16_t *)from->places.buf)[row];
        if (from->prefix.len && place > length) {
            PyErr_SetString(PyExc_IndexError, "a place outside its row");
            goto done;
        }
        rows[i].code = code;
        rows[i].at = size;
        size += length + 1;
        if (place && from->prefix.len) {
            size += (size_t)from->prefix.len;
            moved++;
        }
    }
    const wanted *failed = NULL;
    if (size <= (size_t)out.len) {
        Py_BEGIN_ALLOW_THREADS
        qsort(rows, count, sizeof *rows, by_code);
        failed = read_rows(rows, count, sources, out.buf);
        Py_END_ALLOW_THREADS
    }
    result = Py_BuildValue("(nnL)", (Py_ssize_t)size, (Py_ssize_t)moved, failed ? (long long)failed->code : -1LL);
done:
    while (parsed--) {
        PyBuffer_Release(&sources[parsed].starts);
        PyBuffer_Release(&sources[parsed].lengths);
        PyBuffer_Release(&sources[parsed].places);
        PyBuffer_Release(&sources[parsed].prefix);
    }
    free(sources);
    free(rows);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&out);
    return result;
}

/* As many exchanges of a shuffle as there are eight random bytes. Downwards from `place`, each value changes with one at
 * or before it (Fisher and Yates); upwards, with one at or behind it (the front of a shuffle). */
static PyObject *exchange(PyObject *self, PyObject *args) {
    Py_buffer values, random;
    unsigned long long place;
    int upwards;
    if (!PyArg_ParseTuple(args, "w*y*Kp", &values, &random, &place, &upwards))
        return NULL;
    uint64_t *items = values.buf, count = (uint64_t)values.len / 8, steps = (uint64_t)random.len / 8;
    int good = upwards ? place + steps <= count : place < count && steps <= place;
    for (uint64_t i = 0; good && i < steps; i++) {
        uint32_t words[2];
        memcpy(words, (const char *)random.buf + 8 * i, 8);
        /* What Random.random() makes of two words of its generator. */
        double drawn = ((words[0] >> 5) * 67108864.0 + (words[1] >> 6)) / 9007199254740992.0;
        uint64_t other = upwards ? place + (uint64_t)(drawn * (double)(count - place)) : (uint64_t)(drawn * (double)(place + 1));
        uint64_t held = items[place];
        items[place] = items[other];
        items[other] = held;
        place += upwards ? 1 : -1;
    }
    PyBuffer_Release(&values);
    PyBuffer_Release(&random);
    if (!good) {
        PyErr_SetString(PyExc_IndexError, "more exchanges than values");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"exchange", exchange, METH_VARARGS, "exchange(values, random bytes, place, upwards): steps of a shuffle, in place."},
    {"gather", gather, METH_VARARGS,
     "gather(codes, [(file, starts, lengths, places, prefix)], out): (end of the rows, which begin at 1; rows moved; code that "
     "failed or -1)."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_gather", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__gather(void) { return PyModule_Create(&module); }
