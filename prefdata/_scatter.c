/* Read rows in the order of their files and put each into the blocks of output that it belongs to.
 *
 * Called by mixtures/scatter.py. A row never becomes a Python object and nothing is decoded; where its image path needs a
 * prefix, the index says at which byte. Every row is read with the bytes beside it, so that an index of another content
 * shows: a row is exactly one line that opens an object or a list.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "_sources.h"

enum { PAGE = 4096 };
enum { CHUNK = 256 * 1024 }; /* bytes read at a time; more for a longer row */
enum { GAP = 32 * 1024 };    /* unwanted bytes that are read rather than passed over */

/* Read `size` bytes, or as many as the file has; -1 with errno where it cannot be read. */
static ssize_t read_all(int file, char *into, size_t size, uint64_t from) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(file, into + done, size - done, (off_t)(from + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (!got)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Whether it is one line that opens an object or a list. */
static int is_row(const char *row, size_t size) {
    size_t i = 0;
    while (i < size && (row[i] == ' ' || row[i] == '\t' || row[i] == '\r'))
        i++;
    return i < size && (row[i] == '{' || row[i] == '[') && !memchr(row, '\n', size);
}

/* Where the rows of a block go: bytes waiting in a buffer, then a place in a file. */
typedef struct {
    const int32_t *files;
    uint64_t *cursors;
    uint32_t *filled;
    char *buffers;
    size_t count, room;
} targets;

/* Add bytes to a block. Buffers are written where pages end, so that no page is written in two parts. */
static int append(const targets *to, uint32_t block, const char *data, size_t size) {
    char *buffer = to->buffers + block * to->room;
    while (size) {
        size_t most = to->room - to->cursors[block] % PAGE, part = most - to->filled[block];
        part = part < size ? part : size;
        memcpy(buffer + to->filled[block], data, part);
        to->filled[block] += (uint32_t)part;
        data += part;
        size -= part;
        for (size_t done = 0; to->filled[block] == most;) {
            ssize_t wrote = pwrite(to->files[block], buffer + done, most - done, (off_t)to->cursors[block]);
            if (wrote < 0 && errno != EINTR)
                return 0;
            if (wrote <= 0)
                continue;
            to->cursors[block] += (uint64_t)wrote;
            done += (size_t)wrote;
            if (done == most)
                to->filled[block] = 0;
        }
    }
    return 1;
}

typedef struct {
    char *data;
    size_t size, room;
    uint64_t begin;
} chunk;

/* Make the chunk hold a row with the byte before and the byte behind it, and wanted rows close behind; 0, or why not. */
static int fill(chunk *part, const source *from, const uint32_t *ends, uint64_t row, uint64_t last) {
    const uint64_t *starts = from->starts.buf;
    const uint32_t *lengths = from->lengths.buf;
    uint64_t begin = starts[row] - (starts[row] > 0), end = starts[row] + lengths[row] + 1;
    if (part->data && begin >= part->begin && end <= part->begin + part->size)
        return 0;
    size_t room = end - begin > CHUNK ? (size_t)(end - begin) : CHUNK;
    if (room > part->room) {
        free(part->data);
        part->data = malloc(room);
        part->room = 0;
        if (!part->data)
            return ENOMEM;
        part->room = room;
    }
    for (uint64_t next = row + 1; next < last; next++) {
        uint64_t far = starts[next] + lengths[next] + 1;
        if (far < end || starts[next] > end + GAP || far - begin > part->room)
            break;
        if (ends[next] != ends[next - 1])
            end = far;
    }
    part->begin = begin;
    ssize_t got = read_all(from->file, part->data, (size_t)(end - begin), begin);
    part->size = got < 0 ? 0 : (size_t)got;
    return got < 0 ? errno : 0;
}

/* Where the row begins in the chunk, or NULL where it does not stand there as the index says. */
static const char *checked(const chunk *part, uint64_t start, size_t size, size_t place) {
    uint64_t end = part->begin + part->size;
    if (start + size > end)
        return NULL;
    const char *line = part->data + (start - part->begin);
    if (!is_row(line, size) || (start + size < end && line[size] != '\n') || (place && (place > size || line[place - 1] != '"')))
        return NULL;
    return !start || line[-1] == '\n' || (start == 3 && line[-1] == (char)0xBF) ? line : NULL;
}

typedef struct {
    uint64_t moved;
    int64_t failed; /* a row that is another, or -1 */
    int error;
} outcome;

/* ends: of the rows of this source, behind those of the sources before; blocks: `known` of them. */
static outcome put(const source *from, uint64_t first, uint64_t last, const uint32_t *ends, const uint32_t *blocks, size_t known,
                   const targets *to) {
    outcome result = {0, -1, 0};
    chunk part = {NULL, 0, 0, 0};
    size_t more = (size_t)from->prefix.len;
    for (uint64_t row = first; row < last; row++) {
        uint32_t at = from->before + row ? ends[(int64_t)row - 1] : 0;
        if (at == ends[row])
            continue;
        result.error = fill(&part, from, ends, row, last);
        if (result.error)
            break;
        size_t size = ((const uint32_t *)from->lengths.buf)[row], place = more ? ((const uint16_t *)from->places.buf)[row] : 0;
        const char *line = checked(&part, ((const uint64_t *)from->starts.buf)[row], size, place);
        if (!line) {
            result.failed = (int64_t)row;
            break;
        }
        for (; !result.error && at < ends[row]; at++) {
            if (at >= known || blocks[at] >= to->count || to->filled[blocks[at]] >= to->room)
                result.error = EINVAL;
            else if (!append(to, blocks[at], line, place) || (place && !append(to, blocks[at], from->prefix.buf, more)) ||
                     !append(to, blocks[at], line + place, size - place) || !append(to, blocks[at], "\n", 1))
                result.error = errno;
            result.moved += place > 0;
        }
        if (result.error)
            break;
    }
    free(part.data);
    return result;
}

/* Put rows `first` to `last` of a source, in their order in the file, into the blocks where they stand. */
static PyObject *scatter(PyObject *self, PyObject *args) {
    PyObject *list, *result = NULL;
    Py_buffer ends, blocks, files, cursors, filled, waiting;
    unsigned long long number, first, last;
    sources all;
    if (!PyArg_ParseTuple(args, "O!KKKy*y*y*w*w*w*", &PyList_Type, &list, &number, &first, &last, &ends, &blocks, &files,
                          &cursors, &filled, &waiting))
        return NULL;
    targets to = {files.buf, cursors.buf, filled.buf, waiting.buf, (size_t)files.len / 4, 0};
    to.room = to.count ? (size_t)waiting.len / to.count : 0;
    int good = parse(list, &all);
    if (good && (number >= all.count || last > all.items[number].rows || (uint64_t)ends.len / 4 < all.rows || to.room % PAGE ||
                 (size_t)cursors.len / 8 < to.count || (size_t)filled.len / 4 < to.count))
        good = refuse("rows outside their source");
    if (good) {
        const source *from = &all.items[number];
        outcome done;
        Py_BEGIN_ALLOW_THREADS
        done = put(from, first, last, (const uint32_t *)ends.buf + from->before, blocks.buf, (size_t)blocks.len / 4, &to);
        Py_END_ALLOW_THREADS
        errno = done.error;
        result = done.error ? PyErr_SetFromErrno(PyExc_OSError) : Py_BuildValue("(KL)", done.moved, done.failed);
    }
    release(&all);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&blocks);
    PyBuffer_Release(&files);
    PyBuffer_Release(&cursors);
    PyBuffer_Release(&filled);
    PyBuffer_Release(&waiting);
    return result;
}

static PyMethodDef methods[] = {
    {"scatter", scatter, METH_VARARGS,
     "scatter(sources, number, first, last, ends, blocks, files, cursors, filled, waiting): (rows moved, row that failed or -1)."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scatter", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__scatter(void) { return PyModule_Create(&module); }
