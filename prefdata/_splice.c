/* Rows of a known shape, copied into another shape without being decoded.
 *
 * Called by splice.py, which learns from the ordinary conversion what a row of a certain shape becomes. A *template* is
 * both shapes: literal bytes with gaps for the values. Here each row is matched against the templates; where it has a
 * template's literals (white space aside) and each value is of the kind that the template was learned for, the bytes of
 * the values are copied into the gaps of the other side. Every other row is handed back to be converted in the ordinary
 * way. A value is copied only if it is sound JSON and
 * nothing in it (a placeholder, a template token, blanks at its ends, a text equal to another one) could make the
 * ordinary conversion treat it otherwise than the texts the template was learned with.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>

#include "_jsontext.h"

enum { MAX_VALUES = 32, MAX_GAPS = 64, MAX_TEMPLATES = 16 };

typedef struct {
    text start;
    size_t size;
    int plain; /* no placeholder, token or escape that hides one, no blank at either end, not empty, no JSON itself */
    int odd;   /* escapes that our own encoder does not write */
} string;

typedef struct {
    text start;
    size_t size;
    int odd; /* other bytes may say the same: escapes that our own encoder does not write, `1.0` */
} bytes;

typedef struct {
    int values, gaps;
    char kind[MAX_VALUES];
    unsigned char same[MAX_VALUES]; /* number of the first value that is the same, or its own */
    bytes before[MAX_VALUES + 1], literal[MAX_GAPS + 1];
    unsigned char gap[MAX_GAPS]; /* number of the value that stands there */
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
    out->odd = 0;
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
        else if (*p == '\\') {
            size = escape(p, end, &out->plain);
            out->odd |= p + 1 < end && (p[1] == 'u' || p[1] == '/');
        }
        else if (p + 1 < end) {
            /* At the end of a text they may begin something that goes on in the next one, where two are joined. */
            unsigned char next = p[1], letter = next | 32;
            if (*p == '<')
                out->plain &= !((letter >= 'a' && letter <= 'z') || strchr("|/_!?\"", next));
            else if (*p == '[')
                out->plain &= !strchr("UI/\"", next);
        }
        if (!size)
            return NULL;
        last = p;
        p += size;
    }
    out->size = p - out->start;
    out->plain &= out->size && *out->start != '{' && *out->start != '[' && !may_be_blank(out->start, out->size) &&
                  !may_be_blank(last, p - last);
    return p + 1;
}

/* A text inside a value that is carried whole. */
static text carried(text p, text end, int key) {
    string found;
    (void)key;
    return read_string(p, end, &found);
}

/* Whether a number is written as our own encoder does. `odd`: one without a point may be the same. */
static int canonical(text p, text end, int *odd) {
    text point = memchr(p, '.', end - p);
    *odd = point && end - point == 2 && end[-1] == '0';
    if (*p == '-' && p[1] == '0')
        return 0;
    return !point || ((end[-1] != '0' || *odd) && end - p <= 16);
}

/* Read a value of a kind; what goes into the gaps is left in `out`. NULL: the row is for the ordinary conversion. */
static text read_value(text p, text end, char kind, bytes *out) {
    string found;
    text next;
    out->start = p;
    switch (kind) {
    case 'i': /* the rest of a text whose beginning is in the template, quote and all */
    case 't': /* a text */
    case 'r': /* a reference to a file */
        next = kind == 'i' ? read_string(p - 1, end, &found) : *p == '"' ? read_string(p, end, &found) : NULL;
        if (!next || !found.plain)
            return NULL;
        /* Absolute ones and those of another system or into a store are not what the marks are. */
        if (kind == 'r' && (*found.start == '/' || memchr(found.start, ':', found.size) ||
                            memchr(found.start, '\\', found.size)))
            return NULL;
        out->start = found.start;
        out->size = found.size;
        out->odd = found.odd;
        return next;
    case 'o': /* an object */
    case 'a': /* an array */
        next = *p == (kind == 'o' ? '{' : '[') ? skip(p, end, MAX_DEPTH, carried) : NULL;
        break;
    default: /* a number; inside a turn only as our own encoder writes it, as it may become text */
        next = number(p, end);
        if (next && kind == 'w' && !canonical(p, next, &out->odd))
            return NULL;
    }
    out->size = next ? next - p : 0;
    return next;
}

/* ---- rows ---- */

/* Pass the bytes of a literal, with any white space between its tokens. Strings in it hold no quotes. */
static text pass(text p, text end, const bytes *literal) {
    if ((size_t)(end - p) >= literal->size && !memcmp(p, literal->start, literal->size))
        return p + literal->size;
    int inside = 0, word = 0; /* within a string; behind a letter of true, false or null */
    for (size_t i = 0; i < literal->size; i++) {
        unsigned char c = literal->start[i];
        int letter = c >= 'a' && c <= 'z';
        if (!inside && !(word && letter))
            p = space(p, end);
        if (p >= end || *p++ != c)
            return NULL;
        inside ^= c == '"';
        word = letter;
    }
    return p;
}

/* Whether two values of a row are the same where those of the row that was learned from were not, or the reverse. Bytes
 * are compared; values that can be written in two ways may be the same all the same. */
static int differs(const template *shape, const bytes *values, int i, int j) {
    const bytes *a = &values[i], *b = &values[j];
    if (shape->kind[i] != shape->kind[j] || !strchr("tirw", shape->kind[i]))
        return 0;
    int same = a->size == b->size && !memcmp(a->start, b->start, a->size);
    return same != (shape->same[i] == shape->same[j]) || (!same && (a->odd || b->odd));
}

/* Match a row against a template and find its values. */
static int match(text p, text end, const template *shape, bytes *values) {
    for (int i = 0; i <= shape->values; i++) {
        if (!(p = pass(p, end, &shape->before[i])))
            return 0;
        if (i == shape->values)
            break;
        if (shape->kind[i] != 'i')
            p = space(p, end);
        if (p >= end || !(p = read_value(p, end, shape->kind[i], &values[i])))
            return 0;
        for (int j = 0; j < i; j++)
            if (differs(shape, values, i, j))
                return 0;
    }
    return space(p, end) == end;
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
    *out = (bytes){(text)start, size, 0};
    return 1;
}

/* Several pieces of bytes from a tuple of so many. */
static int read_pieces(PyObject *object, Py_ssize_t count, bytes *out) {
    if (!PyTuple_Check(object) || PyTuple_Size(object) != count)
        return PyErr_SetString(PyExc_ValueError, "a template of unequal parts"), 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!read_bytes(PyTuple_GetItem(object, i), &out[i]))
            return 0;
    return 1;
}

/* A template from (before, kinds, same, literals, gaps). It borrows the bytes of the tuple. */
static int read_template(PyObject *object, template *shape) {
    PyObject *before, *literals;
    const char *kinds, *same, *gaps;
    Py_ssize_t values, sames, count;
    if (!PyTuple_Check(object))
        return PyErr_SetString(PyExc_TypeError, "a template is a tuple"), 0;
    if (!PyArg_ParseTuple(object, "Os#y#Oy#", &before, &kinds, &values, &same, &sames, &literals, &gaps, &count))
        return 0;
    if (values > MAX_VALUES || count > MAX_GAPS || sames != values)
        return PyErr_SetString(PyExc_ValueError, "a template that is too large"), 0;
    if (!read_pieces(before, values + 1, shape->before) || !read_pieces(literals, count + 1, shape->literal))
        return 0;
    shape->values = (int)values;
    shape->gaps = (int)count;
    memcpy(shape->kind, kinds, values);
    memcpy(shape->same, same, values);
    memcpy(shape->gap, gaps, count);
    for (int i = 0; i < shape->values; i++)
        if (!shape->before[i].size)
            return PyErr_SetString(PyExc_ValueError, "a value with nothing in front"), 0;
    shape->literals = 0;
    for (int i = 0; i <= shape->gaps; i++) {
        shape->literals += shape->literal[i].size;
        if (i < shape->gaps && shape->gap[i] >= shape->values)
            return PyErr_SetString(PyExc_ValueError, "a gap without a value"), 0;
    }
    return 1;
}

static PyObject *splice(PyObject *self, PyObject *args) {
    Py_buffer block;
    PyObject *given;
    unsigned char separator;
    if (!PyArg_ParseTuple(args, "y*O!b", &block, &PyTuple_Type, &given, &separator))
        return NULL;
    Py_ssize_t shapes = PyTuple_Size(given);
    template *all = calloc(MAX_TEMPLATES, sizeof *all);
    PyObject *items = PyList_New(0), *result = NULL;
    buffer out = {0}, used = {0};
    text begin = block.buf, end = begin + block.len, p = begin;
    int good = all && items, likely = 0;
    if (good && shapes > MAX_TEMPLATES)
        good = (PyErr_SetString(PyExc_ValueError, "too many templates"), 0);
    for (Py_ssize_t i = 0; good && i < shapes; i++)
        good = read_template(PyTuple_GetItem(given, i), &all[i]);
    for (size_t lines = 0; good && p < end; lines++) {
        text stop = memchr(p, separator, end - p);
        text next = stop ? stop + 1 : end;
        bytes values[MAX_VALUES];
        /* Most rows of a file have the shape of the row before. */
        int shape = shapes && stop && match(p, stop, &all[likely], values) ? likely : -1;
        for (int i = 0; stop && shape < 0 && i < shapes; i++)
            if (i != likely && match(p, stop, &all[i], values))
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
     "splice(block, templates, separator) -> (number of the template of each row, 255 for none; copied rows and (row, "
     "start, end) of the others, in order): see splice.py."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_splice", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__splice(void) { return PyModule_Create(&module); }
