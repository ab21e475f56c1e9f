/* The accept path of validation for `mmpr` rows, in one pass over a block of lines.
 *
 * Called by rowscan.py, which works without it, only slower. A row is accepted when it surely has no finding that
 * needs nothing but the row; everything doubtful (unusual escapes, template tokens, words of a refusal, keys that need
 * care) is handed back to be looked at closely, so this file may be as timid as it likes but never generous. What the
 * accepted rows add to the whole file is returned with them: the keys for duplicates, the references, the lengths.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_jsontext.h"

/* A JSON string's inside, as written, and what was met in it. */
typedef struct {
    text start;
    size_t size, characters;
    int images; /* `<image` */
    int doubtful;
    int styled; /* a line begins as Markdown does */
} string;

/* ---- keys: multiply and fold, 16 bytes at a time ---- */

static uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(text p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static uint64_t digest(text p, size_t size, uint64_t seed) {
    const uint64_t k0 = 0x9E3779B97F4A7C15u, k1 = 0xD1B54A32D192ED03u, k2 = 0x8CB92BA72F3D8DD7u;
    uint64_t h = fold(seed ^ k0, size ^ k1);
    size_t left = size;
    for (; left >= 16; left -= 16, p += 16)
        h = fold(load(p) ^ k1, load(p + 8) ^ h ^ k2);
    unsigned char rest[16] = {0};
    memcpy(rest, p, left);
    h = fold(load(rest) ^ k2, load(rest + 8) ^ h ^ k0);
    return fold(h ^ k1, h >> 32 ^ k2);
}

/* The sides enter symmetrically; the lowest bit tells which one is chosen. */
static uint64_t pair_key(uint64_t prompt, text a, size_t a_size, text b, size_t b_size) {
    uint64_t left = digest(a, a_size, prompt);
    if (b_size == 0)
        return left & ~(uint64_t)1;
    uint64_t right = digest(b, b_size, prompt);
    return ((left + right) & ~(uint64_t)1) | (left < right);
}

/* ---- strings ---- */

static const unsigned char OUR_ESCAPES[256] = {
    ['n'] = 1, ['t'] = 1, ['"'] = 1, ['\\'] = 1, ['r'] = 1, ['b'] = 1, ['f'] = 1};

/* Whether a line begins with a mark of Markdown: a heading, an item, bold, a table, code (as in rules/length.py). */
static int is_styled(text p, text end) {
    text first = p;
    if (end - p < 4)
        return 0; /* a row goes on for three bytes after its last text */
    while (p - first < 2 && *p >= '0' && *p <= '9')
        p++;
    if (p > first)
        return p[0] == '.' && p[1] == ' ';
    if (*p == '#')
        return p[1] == '#' || p[1] == ' ';
    if (*p == '-' || *p == '*')
        return p[1] == ' ' || p[1] == '*';
    return *p == '|' || begins(p, end, "```");
}

/* Read the string whose opening quote is at p. Returns what follows its closing quote, NULL if it is not sound. */
static text read_string(text p, text end, string *out) {
    out->start = ++p;
    out->images = out->doubtful = 0;
    out->styled = is_styled(p, end);
    size_t extra = 0; /* bytes that are not characters of their own */
    for (;;) {
        p = special(p, end);
        if (p >= end)
            return NULL;
        unsigned char c = *p;
        if (c == '"')
            break;
        if (c < 0x20)
            return NULL;
        if (c >= 0x80) {
            do {
                int size = sequence(p, end);
                if (!size)
                    return NULL;
                extra += size - 1;
                p += size;
            } while (p < end && *p >= 0x80);
        } else if (c == '\\') {
            /* Only the escapes that our own encoder writes: others would give the same text another key. */
            do {
                if (end - p < 2 || !OUR_ESCAPES[p[1]])
                    return NULL;
                extra++;
                p += 2;
            } while (p < end && *p == '\\');
            out->styled |= p[-1] == 'n' && is_styled(p, end);
        } else {
            if (c == '<') {
                if (begins(p, end, "<image"))
                    out->images++;
                else if (p + 1 < end && strchr("I|/v_", p[1]))
                    out->doubtful = 1;
            } else if (c == '[' && p + 1 < end && (p[1] == 'U' || p[1] == 'I' || p[1] == '/'))
                out->doubtful = 1;
            p++;
        }
    }
    out->size = p - out->start;
    out->characters = out->size - extra;
    return p + 1;
}

/* A text inside a value that no rule looks at, but for `length`, which may say that an answer was cut. */
static text unread(text p, text end, int key) {
    string found;
    p = read_string(p, end, &found);
    return !key && p && found.size == 6 && !memcmp(found.start, "length", 6) ? NULL : p;
}

/* ---- what answers say ---- */

/* The letter or digit before *p, in lower case, with *p moved to it; 0 at the start; -1 where it takes Unicode
 * tables. */
static int32_t letter_before(text start, text *p) {
    while (*p > start) {
        text at = *p - 1;
        size_t slashes = 0;
        while (at - slashes > start && at[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        if (slashes % 2) {
            *p = at - 1; /* an escape: none of those let through is a letter */
            continue;
        }
        unsigned char c = *at;
        if (c >= 0x80) {
            if (at - start < 2 || (at[-2] & 0xF0) != 0xE0)
                return -1;
            uint32_t point = (at[-2] & 15u) << 12 | (at[-1] & 63u) << 6 | (c & 63u);
            *p = at - 2;
            if (point >= 0x4E00 && point <= 0x9FFF)
                return (int32_t)point;
            if ((point >= 0x3001 && point <= 0x3003) || (point >= 0x3008 && point <= 0x3011) || point == 0xFF0C ||
                point == 0xFF01 || point == 0xFF1A || point == 0xFF1B || point == 0xFF1F || point == 0xFF08 ||
                point == 0xFF09)
                continue;
            return -1;
        }
        *p = at;
        if (c >= 'A' && c <= 'Z')
            return c + 32;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            return c;
    }
    return 0;
}

/* Whether the sides surely differ in more than case, spaces and marks; both then hold a letter or digit. */
static int differ(const string *a, const string *b) {
    text p = a->start + a->size, q = b->start + b->size;
    int32_t x = letter_before(a->start, &p), y = letter_before(b->start, &q);
    if (x <= 0 || y <= 0)
        return 0;
    while (x == y && x > 0) {
        x = letter_before(a->start, &p);
        y = letter_before(b->start, &q);
    }
    return x != y && x >= 0 && y >= 0;
}

static const char *const DENIALS[] = {"not ", "'t ", "\xE2\x80\x99t ", "able to "};
static const char *const ADVERBS[] = {"directly ", "actually ", "physically "};
static const char *const VERBS[] = {"see", "view", "access", "display", "analy", "process", "interpret"};
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* Whether the words around p, a pair of bytes that the search below stops at, ask for a closer look. */
static int denies(text start, text p, text end) {
    if (p[0] == 'A')
        return 1;
    if (p[0] == ' ')
        return begins(p, end, " model") && p - start >= 8 && !memcmp(p - 8, "language", 8);
    text after = p + 2, verb = after;
    for (size_t i = 0, found = 0; i < COUNT(DENIALS); i++) {
        ptrdiff_t size = strlen(DENIALS[i]);
        found |= after - start >= size && !memcmp(after - size, DENIALS[i], size);
        if (!found && i + 1 == COUNT(DENIALS))
            return 0;
    }
    for (size_t i = 0; i < COUNT(ADVERBS); i++)
        if (begins(after, end, ADVERBS[i]))
            verb = after + strlen(ADVERBS[i]);
    for (size_t i = 0; i < COUNT(VERBS); i++)
        if (begins(verb, end, VERBS[i]))
            return 1;
    return 0;
}

/* Whether an answer must be looked at for "I cannot see the image" or "as an AI". */
static int may_refuse(const string *s) {
    text p = s->start, end = s->start + s->size;
#ifdef __SSE2__
    const __m128i t = _mm_set1_epi8('t'), o = _mm_set1_epi8('o'), blank = _mm_set1_epi8(' ');
    const __m128i a = _mm_set1_epi8('A'), i = _mm_set1_epi8('I'), m = _mm_set1_epi8('m');
    for (; end - p >= 17; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p), w = _mm_loadu_si128((const __m128i *)(p + 1));
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(v, t), _mm_cmpeq_epi8(v, o));
        ends = _mm_and_si128(ends, _mm_cmpeq_epi8(w, blank));
        __m128i name = _mm_and_si128(_mm_cmpeq_epi8(v, a), _mm_cmpeq_epi8(w, i));
        __m128i word = _mm_and_si128(_mm_cmpeq_epi8(v, blank), _mm_cmpeq_epi8(w, m));
        int mask = _mm_movemask_epi8(_mm_or_si128(ends, _mm_or_si128(name, word)));
        for (; mask; mask &= mask - 1)
            if (denies(s->start, p + __builtin_ctz(mask), end))
                return 1;
    }
#endif
    for (; end - p >= 2; p++)
        if (((p[0] == 't' || p[0] == 'o') && p[1] == ' ') || (p[0] == 'A' && p[1] == 'I') ||
            (p[0] == ' ' && p[1] == 'm'))
            if (denies(s->start, p, end))
                return 1;
    return 0;
}

enum { STEP = 144, WORD = 16, NEAR = 80, STRETCH = 160, TIMES = 5, LONGEST = 512 }; /* as in rules/repetition.py */

/* A place from p to `last` (or little behind it) that reads the same as `word` for WORD bytes, NULL if there is
 * none. */
static text echo(text p, text last, text end, text word) {
#ifdef __SSE2__
    /* Bytes that are seldom right by chance together. */
    const __m128i a = _mm_set1_epi8(word[0]), b = _mm_set1_epi8(word[5]), c = _mm_set1_epi8(word[13]);
    for (; p <= last && end - p >= 16 + WORD; p += 16) {
        __m128i found = _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), a),
                                      _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 5)), b));
        found = _mm_and_si128(found, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + 13)), c));
        int mask = _mm_movemask_epi8(found);
        for (; mask; mask &= mask - 1)
            if (!memcmp(p + __builtin_ctz(mask), word, WORD))
                return p + __builtin_ctz(mask);
    }
#endif
    for (; p <= last && end - p >= WORD; p++)
        if (*p == *word && !memcmp(p, word, WORD))
            return p;
    return NULL;
}

/* Whether one unit may come again and again in an answer: see rules/repetition.py, which says why this finds all. */
static int may_repeat(const string *s) {
    text at = s->start, start = at, end = start + s->size;
    ptrdiff_t most = s->size / TIMES < LONGEST ? s->size / TIMES : LONGEST;
    for (size_t i = 0; end - at > WORD; at = start + ++i * STEP) {
        ptrdiff_t lags = i ? (ptrdiff_t)NEAR << __builtin_ctzll(i) : most;
        if (lags > most)
            lags = most;
        text last = lags < end - at ? at + lags : end;
        for (text next = echo(at + 1, last, end, at); next; next = echo(next + 1, last, end, at)) {
            ptrdiff_t period = next - at, needed = (TIMES - 1) * period, same = 0;
            if (needed < STRETCH)
                needed = STRETCH;
            while (same < needed && next + same < end && at[same] == next[same])
                same++;
            for (text back = at; same < needed && back > start && back[-1] == back[-1 + period]; back--)
                same++;
            if (same >= needed)
                return 1;
        }
        if (end - at <= STEP)
            break;
    }
    return 0;
}

/* Whether p may be white space outside ASCII. */
static int may_be_blank(text p, text end) {
    return begins(p, end, "\xC2") || begins(p, end, "\xE1\x9A") || begins(p, end, "\xE2\x80") ||
           begins(p, end, "\xE2\x81") || begins(p, end, "\xE3\x80\x80");
}

/* Whether an answer begins as one without its reasoning does. */
static int may_lack_reasons(const string *s) {
    text p = s->start, end = p + s->size;
    while (p < end && (strchr(" *#>", *p) || (*p == '\\' && strchr("nrtf", p[1]))))
        p += *p == '\\' ? 2 : 1;
    if (may_be_blank(p, end))
        return 1;
    if (begins(p, end, "The ") || begins(p, end, "the "))
        p += 4;
    return begins(p, end, "Final ") || begins(p, end, "final ") || begins(p, end, "<answer>") ||
           begins(p, end, "<think>");
}

static int reference_is_plain(const string *s) {
    return s->size > 0 && s->size < 4000 && s->start[0] != '/' && !memchr(s->start, '\\', s->size) &&
           !memchr(s->start, ':', s->size);
}

/* ---- rows ---- */

enum { IMAGE, QUESTION, CHOSEN, REJECTED, FIELDS };
static const char *const NAMES[FIELDS] = {"image", "question", "chosen", "rejected"};
static const char *const CAREFUL[] = {"images", "video", "system_prompt"};
/* Names of images elsewhere: see spelling.py. */
static const char *const ELSEWHERE[] = {"img", "img_path", "image_path", "image_file", "image_url"};

static int named(const string *key, const char *name) {
    return key->size == strlen(name) && !memcmp(key->start, name, key->size);
}

static int lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Whether a key is at most one slip (a letter out, in, changed, two swapped) from a name, whatever its case. */
static int one_slip(const string *key, const char *name) {
    size_t size = strlen(name), front = 0, back = 0;
    text k = key->start;
    if (key->size + 1 < size || key->size > size + 1)
        return 0;
    while (front < size && front < key->size && lower(k[front]) == name[front])
        front++;
    while (back < size - front && back < key->size - front && lower(k[key->size - 1 - back]) == name[size - 1 - back])
        back++;
    size_t a = key->size - front - back, b = size - front - back;
    if (a <= 1 && b <= 1)
        return 1;
    return a == 2 && b == 2 && lower(k[front]) == name[front + 1] && lower(k[front + 1]) == name[front];
}

/* Whether a key may have been meant for an image or a video, should the row have none. */
static int may_mean_media(const string *key) {
    for (size_t i = 0; i < COUNT(ELSEWHERE); i++)
        if (named(key, ELSEWHERE[i]))
            return 1;
    return one_slip(key, "image") || one_slip(key, "video");
}

/* Read one line into `fields`; `seen` tells which are there. Returns 0 unless the row is to be accepted. */
static int read_row(text p, text end, string *fields, int *seen) {
    int strange = 0;
    *seen = 0;
    p = space(p, end);
    if (p >= end || *p++ != '{')
        return 0;
    for (;;) {
        string key;
        p = space(p, end);
        if (p >= end || *p != '"' || !(p = read_string(p, end, &key)))
            return 0;
        p = space(p, end);
        if (p >= end || *p++ != ':')
            return 0;
        p = space(p, end);
        int field = 0;
        while (field < FIELDS && !named(&key, NAMES[field]))
            field++;
        if (field < FIELDS) {
            if (*seen & 1 << field || p >= end || *p != '"' || !(p = read_string(p, end, &fields[field])))
                return 0;
            *seen |= 1 << field;
        } else {
            for (size_t i = 0; i < COUNT(CAREFUL); i++)
                if (named(&key, CAREFUL[i]))
                    return 0;
            strange |= may_mean_media(&key);
            if (memchr(key.start, '\\', key.size) || !(p = skip(p, end, MAX_DEPTH, unread)))
                return 0;
        }
        p = space(p, end);
        if (p >= end)
            return 0;
        if (*p == '}')
            break;
        if (*p++ != ',')
            return 0;
    }
    p = space(p + 1, end);
    if (p < end && *p == '\n')
        p++;
    const string *question = &fields[QUESTION], *chosen = &fields[CHOSEN], *rejected = &fields[REJECTED];
    if (p != end || (*seen | 1 << IMAGE) != 15)
        return 0;
    if (question->doubtful || chosen->doubtful || rejected->doubtful || chosen->images || rejected->images)
        return 0;
    if (*seen & 1 << IMAGE) {
        if (!reference_is_plain(&fields[IMAGE]) || may_refuse(chosen) || question->images > 1 || question->size < 8)
            return 0;
        if (question->images && !memmem(question->start, question->size, "<image>", 7))
            return 0;
    } else {
        text last = question->start + question->size;
        if (strange || question->images || letter_before(question->start, &last) <= 0)
            return 0;
    }
    return differ(chosen, rejected) && !may_lack_reasons(chosen) && !may_lack_reasons(rejected) &&
           !may_repeat(chosen) && !may_repeat(rejected);
}

typedef struct {
    uint64_t *items;
    size_t count, room;
} numbers;

static int push(numbers *list, uint64_t item) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 256;
        uint64_t *items = realloc(list->items, room * sizeof *items);
        if (!items)
            return 0;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = item;
    return 1;
}

static int append(PyObject *list, PyObject *item) {
    int failed = !item || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return !failed;
}

static PyObject *scan(PyObject *self, PyObject *args) {
    Py_buffer block;
    unsigned long long place;
    int want_images;
    if (!PyArg_ParseTuple(args, "y*Kp", &block, &place, &want_images))
        return NULL;
    numbers keys = {0}, places = {0};
    size_t lines = 0, longer = 0, shorter = 0, equal = 0, styled[2] = {0};
    Py_ssize_t first_image = -1;
    PyObject *closer = PyList_New(0), *images = PyList_New(0), *result = NULL;
    text begin = block.buf, end = begin + block.len, p = begin;
    int good = closer && images;
    for (; good && p < end; lines++) {
        text newline = memchr(p, '\n', end - p);
        text next = newline ? newline + 1 : end;
        string fields[FIELDS];
        int seen;
        if (newline && read_row(p, next, fields, &seen)) {
            const string *image = &fields[IMAGE], *question = &fields[QUESTION];
            const string *a = &fields[CHOSEN], *b = &fields[REJECTED];
            uint64_t prompt = 0;
            if (seen & 1 << IMAGE) {
                prompt = digest(image->start, image->size, 0);
                if (first_image < 0)
                    first_image = lines;
                if (want_images) {
                    PyObject *uri = PyUnicode_DecodeUTF8((const char *)image->start, image->size, NULL);
                    good = uri && append(images, Py_BuildValue("(nN)", (Py_ssize_t)lines, uri));
                }
            } else
                prompt = digest(p, 0, 0);
            prompt = digest(question->start, question->size, prompt);
            good = good && push(&keys, pair_key(prompt, a->start, a->size, b->start, b->size)) &&
                   push(&places, place + lines);
            longer += a->characters > b->characters;
            shorter += a->characters < b->characters;
            equal += a->characters == b->characters;
            styled[0] += a->styled;
            styled[1] += b->styled;
        } else
            good = append(closer, Py_BuildValue("(nnn)", (Py_ssize_t)lines, p - begin, next - begin));
        p = next;
    }
    if (good)
        result = Py_BuildValue("(ny#y#OOnnnnnn)", (Py_ssize_t)lines,
                               keys.items ? (char *)keys.items : "", (Py_ssize_t)(keys.count * 8),
                               places.items ? (char *)places.items : "", (Py_ssize_t)(places.count * 8),
                               closer, images, first_image, (Py_ssize_t)longer, (Py_ssize_t)shorter, (Py_ssize_t)equal,
                               (Py_ssize_t)styled[0], (Py_ssize_t)styled[1]);
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
    free(keys.items);
    free(places.items);
    Py_XDECREF(closer);
    Py_XDECREF(images);
    PyBuffer_Release(&block);
    return result;
}

static PyObject *key(PyObject *self, PyObject *args) {
    Py_buffer media, prompt, chosen, rejected;
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &media, &prompt, &chosen, &rejected))
        return NULL;
    uint64_t start = digest(prompt.buf, prompt.len, digest(media.buf, media.len, 0));
    PyObject *result =
        PyLong_FromUnsignedLongLong(pair_key(start, chosen.buf, chosen.len, rejected.buf, rejected.len));
    PyBuffer_Release(&media);
    PyBuffer_Release(&prompt);
    PyBuffer_Release(&chosen);
    PyBuffer_Release(&rejected);
    return result;
}

/* Halves (keys without their lowest bit) that occur more than once, each as often as it repeats. The keys are looked
 * through in slices by value, so that the table stays at 32 MiB however many there are. */
static PyObject *repeated(PyObject *self, PyObject *args) {
    Py_buffer keys;
    if (!PyArg_ParseTuple(args, "y*", &keys))
        return NULL;
    const size_t room = (size_t)1 << 22, count = keys.len / 8, parts = count / (room / 2) + 1;
    size_t size = 1024;
    while (size < room && size < 2 * count)
        size *= 2;
    uint64_t *table = malloc(size * sizeof *table);
    PyObject *found = PyList_New(0);
    int good = table && found;
    for (size_t part = 0; good && part < parts; part++) {
        memset(table, 0, size * sizeof *table);
        for (size_t i = 0; good && i < count; i++) {
            uint64_t half = load((text)keys.buf + 8 * i) >> 1;
            if (half % parts != part)
                continue;
            /* Zero marks a free place; a half has 63 bits, so one more never overflows. */
            size_t at = (half * 0x9E3779B97F4A7C15u >> 32) & (size - 1);
            while (table[at] && table[at] != half + 1)
                at = (at + 1) & (size - 1);
            if (table[at])
                good = append(found, PyLong_FromUnsignedLongLong(half));
            table[at] = half + 1;
        }
    }
    free(table);
    PyBuffer_Release(&keys);
    if (!good) {
        Py_XDECREF(found);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    return found;
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_VARARGS, "scan(block, place, want_images): see rowscan.py."},
    {"key", key, METH_VARARGS,
     "key(media, prompt, chosen, rejected): the key of a row from the insides of JSON strings."},
    {"repeated", repeated, METH_VARARGS, "repeated(keys): halves of 64-bit keys that occur more than once."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rowscan", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rowscan(void) { return PyModule_Create(&module); }
