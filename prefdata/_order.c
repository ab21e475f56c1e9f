/* The order of an epoch: draw it, cut it into blocks, say in which of them each row stands, and order one.
 *
 * Called by mixtures/draw.py, which does the same without it, only slower, and by mixtures/scatter.py.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <string.h>

#include "_sources.h"

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

/* Bytes of a row as it is written, or 0 where its place lies outside. */
static uint64_t row_size(const source *from, uint64_t row) {
    uint64_t length = ((const uint32_t *)from->lengths.buf)[row];
    uint16_t place = ((const uint16_t *)from->places.buf)[row];
    if (!place || !from->prefix.len)
        return length + 1;
    return place > length ? 0 : length + 1 + (uint64_t)from->prefix.len;
}

static int has(const sources *all, uint64_t code) {
    return code >> SHIFT < all->count && (code & ROW) < all->items[code >> SHIFT].rows;
}

/* Cut codes into blocks of at most so many bytes, or one row. */
static PyObject *blocks(PyObject *self, PyObject *args) {
    PyObject *list, *result = NULL;
    Py_buffer codes;
    unsigned long long most, size = 0;
    sources all;
    if (!PyArg_ParseTuple(args, "y*O!K", &codes, &PyList_Type, &list, &most))
        return NULL;
    const uint64_t *code = codes.buf;
    Py_ssize_t count = codes.len / 8;
    int good = parse(list, &all) && (result = PyList_New(0)) != NULL;
    for (Py_ssize_t i = 0; good && i <= count; i++) {
        uint64_t more = i == count ? 0 : !has(&all, code[i]) ? 0 : row_size(&all.items[code[i] >> SHIFT], code[i] & ROW);
        if (i < count && !more) {
            good = refuse("a row that no index has");
        } else if (i && (i == count || size + more > most)) {
            PyObject *block = Py_BuildValue("(nK)", i, size);
            good = block && PyList_Append(result, block) == 0;
            Py_XDECREF(block);
            size = 0;
        }
        size += more;
    }
    if (!good)
        Py_CLEAR(result);
    release(&all);
    PyBuffer_Release(&codes);
    return result;
}

/* For every row of all sources, in which blocks it stands: those of row n lie in `blocks` up to ends[n]. */
static PyObject *invert(PyObject *self, PyObject *args) {
    PyObject *list;
    Py_buffer codes, borders, ends, into;
    sources all;
    if (!PyArg_ParseTuple(args, "y*O!y*w*w*", &codes, &PyList_Type, &list, &borders, &ends, &into))
        return NULL;
    const uint64_t *code = codes.buf, *border = borders.buf;
    uint32_t *end = ends.buf, *block = into.buf;
    size_t count = (size_t)codes.len / 8, last = (size_t)borders.len / 8;
    int good = parse(list, &all);
    if (good && (count > UINT32_MAX || (last ? border[last - 1] : 0) != count || (uint64_t)ends.len / 4 < all.rows ||
                 (size_t)into.len / 4 < count))
        good = refuse("no room for all rows");
    if (good)
        memset(end, 0, (size_t)all.rows * 4);
    for (size_t i = 0; good && i < count; i++)
        if (!has(&all, code[i]))
            good = refuse("a row that no index has");
        else
            end[all.items[code[i] >> SHIFT].before + (code[i] & ROW)]++;
    uint32_t sum = 0;
    for (uint64_t n = 0; good && n < all.rows; n++) {
        uint32_t times = end[n];
        end[n] = sum;
        sum += times;
    }
    for (size_t i = 0, at = 0; good && i < count; i++) {
        while (at + 1 < last && i >= border[at])
            at++;
        block[end[all.items[code[i] >> SHIFT].before + (code[i] & ROW)]++] = (uint32_t)at;
    }
    release(&all);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&borders);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&into);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}

typedef struct {
    uint64_t code;
    size_t at; /* where the row begins in the block */
} wanted;

static int by_code(const void *a, const void *b) {
    uint64_t left = ((const wanted *)a)->code, right = ((const wanted *)b)->code;
    return (left > right) - (left < right);
}

/* Bring the rows of one block from the order of the files into that of the codes. */
static PyObject *arrange(PyObject *self, PyObject *args) {
    PyObject *list;
    Py_buffer codes, data, out;
    sources all;
    if (!PyArg_ParseTuple(args, "y*O!y*w*", &codes, &PyList_Type, &list, &data, &out))
        return NULL;
    size_t count = (size_t)codes.len / 8, size = 0;
    const uint64_t *code = codes.buf;
    wanted *rows = malloc((count + 1) * sizeof *rows);
    int good = parse(list, &all);
    if (good && !rows) {
        PyErr_NoMemory();
        good = 0;
    }
    for (size_t i = 0; good && i < count; i++) {
        if (!has(&all, code[i])) {
            good = refuse("a row that no index has");
            break;
        }
        rows[i] = (wanted){code[i], size};
        size += row_size(&all.items[code[i] >> SHIFT], code[i] & ROW);
    }
    if (good && (size != (size_t)data.len || size > (size_t)out.len))
        good = refuse("a block of another size");
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        qsort(rows, count, sizeof *rows, by_code);
        const char *from = data.buf;
        for (size_t i = 0; i < count; i++) {
            size_t length = row_size(&all.items[rows[i].code >> SHIFT], rows[i].code & ROW);
            memcpy((char *)out.buf + rows[i].at, from, length);
            from += length;
        }
        Py_END_ALLOW_THREADS
    }
    free(rows);
    release(&all);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    if (!good)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"arrange", arrange, METH_VARARGS, "arrange(codes, sources, data, out): the rows of a block in the order of the codes."},
    {"blocks", blocks, METH_VARARGS, "blocks(codes, sources, most): [(end, bytes)] of the blocks that codes are cut into."},
    {"exchange", exchange, METH_VARARGS, "exchange(values, random bytes, place, upwards): steps of a shuffle, in place."},
    {"invert", invert, METH_VARARGS, "invert(codes, sources, borders, ends, blocks): which blocks each row stands in."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_order", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__order(void) { return PyModule_Create(&module); }
