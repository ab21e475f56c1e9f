/* Bytes of JSON text: what both compiled parts, `_rowscan.c` and `_splice.c`, need to walk over a row safely. */
#ifndef PREFDATA_JSONTEXT_H
#define PREFDATA_JSONTEXT_H

#include <stddef.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef const unsigned char *text;

/* Levels of a value that is skipped; deeper ones are for the ordinary way. */
enum { MAX_DEPTH = 32 };

/* Length of the well-formed UTF-8 sequence at p, 0 if there is none (Unicode 15, table 3-7). */
static int sequence(text p, text end) {
    unsigned char a = p[0];
    ptrdiff_t room = end - p;
    if (a < 0xC2 || a > 0xF4)
        return 0;
    if (a < 0xE0)
        return room > 1 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (room < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80)
        return 0;
    if (a < 0xF0)
        return (a == 0xE0 && p[1] < 0xA0) || (a == 0xED && p[1] > 0x9F) ? 0 : 3;
    if (room < 4 || (p[3] & 0xC0) != 0x80)
        return 0;
    return (a == 0xF0 && p[1] < 0x90) || (a == 0xF4 && p[1] > 0x8F) ? 0 : 4;
}

/* The next byte that needs a look: a quote, a backslash, a control or non-ASCII byte, `<` or `[`; or less than 16 bytes
 * before the end. */
static text special(text p, text end) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), angle = _mm_set1_epi8('<');
    const __m128i bracket = _mm_set1_epi8('['), blank = _mm_set1_epi8(0x20);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        /* As signed numbers all bytes above 0x7F are below the space too. */
        __m128i found = _mm_or_si128(_mm_cmplt_epi8(v, blank), _mm_cmpeq_epi8(v, quote));
        found = _mm_or_si128(found, _mm_or_si128(_mm_cmpeq_epi8(v, slash), _mm_cmpeq_epi8(v, angle)));
        int mask = _mm_movemask_epi8(_mm_or_si128(found, _mm_cmpeq_epi8(v, bracket)));
        if (mask)
            return p + __builtin_ctz(mask);
    }
    return p;
#else
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\' && *p != '<' && *p != '[')
        p++;
    return p;
#endif
}

static int begins(text p, text end, const char *word) {
    size_t size = strlen(word);
    return (size_t)(end - p) >= size && memcmp(p, word, size) == 0;
}

static text space(text p, text end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

static text digits(text p, text end) {
    text start = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > start && p - start <= 15 ? p : NULL;
}

static text number(text p, text end) {
    if (p < end && *p == '-')
        p++;
    text first = p;
    if (!(p = digits(p, end)) || (*first == '0' && p - first > 1))
        return NULL;
    if (p < end && *p == '.' && !(p = digits(p + 1, end)))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E'))
        return NULL; /* may be out of range */
    return p;
}

/* Skip a value of at most so many levels; NULL where it is not well formed. `read` takes each text in it, from its quote
 * on: the text after it, or NULL to give up. */
static text skip(text p, text end, int levels, text (*read)(text p, text end, int key)) {
    p = space(p, end);
    if (p >= end || levels < 0)
        return NULL;
    if (*p == '"')
        return read(p, end, 0);
    if (*p == '{' || *p == '[') {
        int object = *p == '{';
        unsigned char close = object ? '}' : ']';
        p = space(p + 1, end);
        if (p < end && *p == close)
            return p + 1;
        for (;;) {
            if (object) {
                p = space(p, end);
                if (p >= end || *p != '"' || !(p = read(p, end, 1)))
                    return NULL;
                p = space(p, end);
                if (p >= end || *p++ != ':')
                    return NULL;
            }
            if (!(p = skip(p, end, levels - 1, read)))
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

#endif
