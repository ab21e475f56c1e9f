/* Rows of a known shape, copied into another shape without being decoded.
 *
 * Called by splice.py, which learns from the ordinary conversion what a row of certain keys becomes: literal bytes with
 * gaps for the values, a *template*. Here each line is matched against the templates; where its keys are a template's
 * and each value is of the kind that the template was learned for, the bytes of the values are copied into the gaps.
 * Every other line is handed back to be converted in the ordinary way. A value is copied only if it is sound JSON and
 * nothing in it (a placeholder, a template token, blanks at its ends, a text equal to another one) could make the
 * ordinary conversion treat it otherwise than the texts the template was learned with.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>

#include "_jsontext.h"

enum { MAX_KEYS = 32, MAX_GAPS = 64, MAX_TEMPLATES = 16, MAX_DEPTH = 32 };

typedef struct {
    text start;
    size_t size;
    int plain; /* no placeholder, token or escape that hides one; no blank at either end; not empty */
} string;

typedef struct {
    text start;
    size_t size;
} bytes;

typedef struct {
    int keys, gaps;
    char kind[MAX_KEYS];
    bytes key[MAX_KEYS], literal[MAX_GAPS + 1];
    unsigned char gap[MAX_GAPS]; /* number of the key whose value stands there */
    size_t literals;             /* bytes of all literals */
} template;

/* ---- values ---- */

static int hex(text p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = p[i] | 32, digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || (p[i] < '0'))
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Size of the escape at p, 0 if it is not sound. Escaped ASCII may hide a placeholder, escaped blanks stand for blanks. */
static int escape(text p, text end, int *plain) {
    if (end - p < 2)
        return 0;
    if (p[1] != 'u')
        return strchr("\"\\/nrtbf", p[1]) && p[1] ? 2 : 0;
    int code = end - p < 6 ? -1 : hex(p + 2);
    if (code <= 0)
        return 0;
    if (code < 0xD800 || code > 0xDFFF) {
        *plain &= code >= 0x80;
        return 6;
    }
    if (code > 0xDBFF || end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    int low = hex(p + 8);
    return low >= 0xDC00 && low <= 0xDFFF ? 12 : 0;
}

/* Whether the character at p may be white space: any byte up to the space, or of the blocks that hold Unicode's. */
static int may_be_blank(text p, size_t size) {
    if (*p == '\\')
        return size < 2 || !strchr("\"\\/", p[1]);
    if (*p == 0xE3)
        return size < 3 || (p[1] == 0x80 && p[2] == 0x80);
    return *p <= ' ' || (*p >= 0xC2 && *p <= 0xC3) || *p == 0xE1 || *p == 0xE2;
}

/* Read the string whose opening quote is at p. Returns what follows its closing quote, NULL if it is not sound. */
static text read_string(text p, text end, string *out) {
    text last = out->start = ++p;
    out->plain = 1;
    for (;;) {
        text at = special(p, end);
        if (at > p)
            last = at - 1;
        p = at;
        if (p >= end || *p < 0x20)
            return NULL;
        if (*p == '"')
            break;
        int size = 1;
        if (*p >= 0x80)
            size = sequence(p, end);
        else if (*p == '\\')
            size = escape(p, end, &out->plain);
        else if (p + 1 < end) {
            unsigned char next = p[1], letter = next | 32;
            if (*p == '<')
                out->plain &= !((letter >= 'a' && letter <= 'z') || strchr("|/_!?", next));
            else if (*p == '[')
                out->plain &= next != 'U' && next != 'I' && next != '/';
        }
        if (!size)
            return NULL;
        last = p;
        p += size;
    }
    out->size = p - out->start;
    out->plain &= out->size && !may_be_blank(out->start, out->size) && !may_be_blank(last, p - last);
    return p + 1;
}

static text skip(text p, text end, int depth) {
    string found;
    p = space(p, end);
    if (p >= end || depth > MAX_DEPTH)
        return NULL;
    if (*p == '"')
        return read_string(p, end, &found);
    if (*p == '{' || *p == '[') {
        int object = *p == '{';
        unsigned char close = object ? '}' : ']';
        p = space(p + 1, end);
        if (p < end && *p == close)
            return p + 1;
        for (;;) {
            if (object) {
                p = space(p, end);
                if (p >= end || *p != '"' || !(p = read_string(p, end, &found)))
                    return NULL;
                p = space(p, end);
                if (p >= end || *p++ != ':')
                    return NULL;
            }
            if (!(p = skip(p, end, depth + 1)))
                return NULL;
            p = space(p, end);
            if (p >= end)
                return NULL;
            if (*p == close)
                return p + 1;
            if (*p++ != ',')
                return NULL;
        }
    }
    if (begins(p, end, "true") || begins(p, end, "null"))
        return p + 4;
    return begins(p, end, "false") ? p + 5 : number(p, end);
}

#define PLACEHOLDER "<image>\\n"

/* Read a value of a kind; what goes into the gaps is left in `out`. NULL: the row is for the ordinary conversion. */
static text read_value(text p, text end, char kind, bytes *out) {
    string found;
    text next;
    out->start = p;
    switch (kind) {
    case 'i': /* a text after a placeholder and a newline */
    case 't': /* a text */
    case 'r': /* a reference to a file */
        if (!begins(p, end, kind == 'i' ? "\"" PLACEHOLDER : "\""))
            return NULL;
        /* The last byte of the placeholder stands for the opening quote. */
        p += kind == 'i' ? strlen(PLACEHOLDER) : 0;
        next = read_string(p, end, &found);
        if (!next || !found.plain)
            return NULL;
        if (kind == 'r' && (memchr(found.start, ':', found.size) || memchr(found.start, '\\', found.size)))
            return NULL;
        out->start = found.start;
        out->size = found.size;
        return next;
    case 'o': /* an object */
    case 'a': /* an array */
        next = *p == (kind == 'o' ? '{' : '[') ? skip(p, end, 0) : NULL;
        break;
    case 'n': /* a number */
        next = number(p, end);
        break;
    default: /* a constant */
        next = begins(p, end, kind == 'T' ? "true" : kind == 'F' ? "false" : "null") ? p + 4 + (kind == 'F') : NULL;
    }
    out->size = next ? next - p : 0;
    return next;
}

/* ---- rows ---- */

/* Match a line (with its newline) against a template; `values` are those of its keys. */
static int match(text p, text end, const template *shape, bytes *values) {
    p = space(p, end);
    if (p >= end || *p++ != '{')
        return 0;
    for (int i = 0; i < shape->keys; i++) {
        const bytes *key = &shape->key[i];
        if (i) {
            p = space(p, end);
            if (p >= end || *p++ != ',')
                return 0;
        }
        p = space(p, end);
        if ((size_t)(end - p) < key->size + 3 || *p != '"' || memcmp(p + 1, key->start, key->size) ||
            p[key->size + 1] != '"')
            return 0;
        p = space(p + key->size + 2, end);
        if (p >= end || *p++ != ':')
            return 0;
        p = space(p, end);
        if (p >= end || !(p = read_value(p, end, shape->kind[i], &values[i])))
            return 0;
        if (shape->kind[i] == 't')
            for (int j = 0; j < i; j++)
                if (values[j].size == values[i].size && !memcmp(values[j].start, values[i].start, values[i].size))
                    return 0;
    }
    p = space(p, end);
    if (p >= end || *p++ != '}')
        return 0;
    p = space(p, end);
    return p < end && *p == '\n' && p + 1 == end;
}

typedef struct {
    char *start;
    size_t size, room;
} buffer;

static int put(buffer *out, const template *shape, const bytes *values) {
    size_t need = shape->literals;
    for (int i = 0; i < shape->gaps; i++)
        need += values[shape->gap[i]].size;
    if (out->room - out->size < need) {
        size_t room = 2 * out->room + need;
        char *start = realloc(out->start, room);
        if (!start)
            return 0;
        out->start = start;
        out->room = room;
    }
    char *p = out->start + out->size;
    for (int i = 0; i <= shape->gaps; i++) {
        memcpy(p, shape->literal[i].start, shape->literal[i].size);
        p += shape->literal[i].size;
        if (i < shape->gaps) {
            const bytes *value = &values[shape->gap[i]];
            memcpy(p, value->start, value->size);
            p += value->size;
        }
    }
    out->size += need;
    return 1;
}

static int append(PyObject *list, PyObject *item) {
    int failed = !item || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return !failed;
}

/* What has been copied since the last line that was handed back. */
static int flush(PyObject *items, buffer *out) {
    int good = !out->size || append(items, PyBytes_FromStringAndSize(out->start, out->size));
    out->size = 0;
    return good;
}

static int read_bytes(PyObject *object, bytes *out) {
    char *start;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(object, &start, &size) < 0)
        return 0;
    *out = (bytes){(text)start, size};
    return 1;
}

/* A template from (keys, kinds, literals, gaps). It borrows the bytes of the tuple. */
static int read_template(PyObject *object, template *shape) {
    PyObject *keys, *literals;
    const char *kinds, *gaps;
    Py_ssize_t kinds_size, gaps_size;
    if (!PyTuple_Check(object))
        return PyErr_SetString(PyExc_TypeError, "a template is a tuple"), 0;
    if (!PyArg_ParseTuple(object, "OsOy#", &keys, &kinds, &literals, &gaps, &gaps_size))
        return 0;
    if (!PyTuple_Check(keys) || !PyTuple_Check(literals))
        return PyErr_SetString(PyExc_TypeError, "keys and literals are tuples"), 0;
    kinds_size = strlen(kinds);
    shape->keys = PyTuple_Size(keys);
    shape->gaps = gaps_size;
    shape->literals = 0;
    if (shape->keys < 1 || PyTuple_Size(keys) > MAX_KEYS || gaps_size > MAX_GAPS || shape->keys != kinds_size ||
        PyTuple_Size(literals) != gaps_size + 1)
        return PyErr_SetString(PyExc_ValueError, "a template too large or of unequal parts"), 0;
    for (int i = 0; i < shape->keys; i++) {
        shape->kind[i] = kinds[i];
        if (!read_bytes(PyTuple_GetItem(keys, i), &shape->key[i]))
            return 0;
    }
    for (int i = 0; i <= shape->gaps; i++) {
        if (!read_bytes(PyTuple_GetItem(literals, i), &shape->literal[i]))
            return 0;
        shape->literals += shape->literal[i].size;
        if (i < shape->gaps && (shape->gap[i] = gaps[i]) >= shape->keys)
            return PyErr_SetString(PyExc_ValueError, "a gap without a key"), 0;
    }
    return 1;
}

static PyObject *splice(PyObject *self, PyObject *args) {
    Py_buffer block;
    PyObject *given;
    if (!PyArg_ParseTuple(args, "y*O!", &block, &PyTuple_Type, &given))
        return NULL;
    Py_ssize_t shapes = PyTuple_Size(given);
    template *all = calloc(MAX_TEMPLATES, sizeof *all);
    PyObject *items = PyList_New(0), *result = NULL;
    buffer out = {0}, used = {0};
    text begin = block.buf, end = begin + block.len, p = begin;
    int good = all && items && shapes <= MAX_TEMPLATES, likely = 0;
    for (Py_ssize_t i = 0; good && i < shapes; i++)
        good = read_template(PyTuple_GetItem(given, i), &all[i]);
    for (size_t lines = 0; good && p < end; lines++) {
        text newline = memchr(p, '\n', end - p);
        text next = newline ? newline + 1 : end;
        bytes values[MAX_KEYS];
        /* Most rows of a file have the shape of the row before. */
        int shape = shapes && match(p, next, &all[likely], values) ? likely : -1;
        for (int i = 0; shape < 0 && i < shapes; i++)
            if (i != likely && match(p, next, &all[i], values))
                shape = i;
        if (shape >= 0)
            good = put(&out, &all[likely = shape], values);
        else
            good = flush(items, &out) &&
                   append(items, Py_BuildValue("(nnn)", (Py_ssize_t)lines, p - begin, next - begin));
        if (good && used.size == used.room) {
            char *start = realloc(used.start, used.room = 2 * used.room + 256);
            good = start != NULL;
            used.start = start ? start : used.start;
        }
        if (good)
            used.start[used.size++] = (char)shape;
        p = next;
    }
    if (good && flush(items, &out))
        result = Py_BuildValue("(y#O)", used.start ? used.start : "", (Py_ssize_t)used.size, items);
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
    free(all);
    free(out.start);
    free(used.start);
    Py_XDECREF(items);
    PyBuffer_Release(&block);
    return result;
}

static PyMethodDef methods[] = {
    {"splice", splice, METH_VARARGS,
     "splice(block, templates) -> (number of the template of each line, 255 for none; copied rows and (line, start, "
     "end) of the others, in order): see splice.py."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_splice", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__splice(void) { return PyModule_Create(&module); }
