/* SPDX-License-Identifier: MIT */
#include "driver/config/toml/string.h"

#include <stdint.h>
#include <string.h>

#include "common/utf8.h"

struct string {
    const char *opened; /* at its first quote */
    char quote;
    bool multiline;
    char *text;
};

static const char *quote_name(const struct string *string)
{
    if (string->multiline) {
        return string->quote == '"' ? "\"\"\"" : "'''";
    }
    return string->quote == '"' ? "\"" : "'";
}

static bool is_hex(int byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
           (byte >= 'A' && byte <= 'F');
}

static unsigned hex_digit(int byte)
{
    return (unsigned)(byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10);
}

/* After "\u" or "\U". */
static int read_code_point(struct toml_scan *scan, struct string *string, int digits)
{
    const char *backslash = scan->at - 2;
    uint32_t point = 0;
    for (int i = 0; i < digits; i++) {
        int byte = toml_peek(scan, 0);
        if (!is_hex(byte)) {
            return toml_fail(scan, backslash, "'\\%c' needs %d hexadecimal digits", backslash[1],
                             digits);
        }
        point = point << 4 | hex_digit(byte);
        scan->at++;
    }
    size_t length = utf8_encode(point, string->text);
    if (length == 0) {
        return toml_fail(scan, backslash, "U+%04X is no Unicode character", (unsigned)point);
    }
    string->text += length;
    return 0;
}

/* A backslash at the end of a line removes all white space up to the next character. */
static int skip_line_continuation(struct toml_scan *scan, const char *backslash)
{
    toml_skip_blanks(scan);
    if (!toml_take_newline(scan)) {
        return toml_fail(scan, backslash, "nothing may follow a backslash that continues a line");
    }
    do {
        toml_skip_blanks(scan);
    } while (toml_take_newline(scan));
    return 0;
}

static int fail_escape(struct toml_scan *scan, const char *backslash)
{
    size_t left = (size_t)(scan->end - scan->at);
    if (left == 0 || toml_is_control((unsigned char)*scan->at)) {
        return toml_fail(scan, backslash, "unfinished escape");
    }
    int length = (int)utf8_length((const unsigned char *)scan->at, left);
    return toml_fail(scan, backslash, "unknown escape '\\%.*s'; write '\\\\' for a backslash",
                     length, scan->at);
}

static int read_escape(struct toml_scan *scan, struct string *string)
{
    static const char letters[] = "btnfr\"\\";
    static const char meanings[] = "\b\t\n\f\r\"\\";
    _Static_assert(sizeof(letters) == sizeof(meanings), "a meaning per letter");
    const char *backslash = scan->at++;
    int byte = toml_peek(scan, 0);
    const char *letter = byte == TOML_SCAN_END ? NULL : memchr(letters, byte, sizeof(letters) - 1);
    if (letter != NULL) {
        scan->at++;
        *string->text++ = meanings[letter - letters];
        return 0;
    }
    if (byte == 'u' || byte == 'U') {
        scan->at++;
        return read_code_point(scan, string, byte == 'u' ? 4 : 8);
    }
    bool blank = byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
    return string->multiline && blank ? skip_line_continuation(scan, backslash)
                                      : fail_escape(scan, backslash);
}

/* Quotes inside a multi-line string: one or two are text, and one or two more may come right
 * before the three that close it. Returns whether they closed it. */
static bool read_quotes(struct toml_scan *scan, struct string *string)
{
    size_t closing = string->multiline ? 3 : 1;
    size_t longest = string->multiline ? 5 : 1;
    size_t count = 0;
    while (count < longest && toml_take(scan, string->quote)) {
        count++;
    }
    bool closed = count >= closing;
    size_t kept = closed ? count - closing : count;
    memset(string->text, string->quote, kept);
    string->text += kept;
    return closed;
}

static int fail_in_string(struct toml_scan *scan, const struct string *string)
{
    int byte = toml_peek(scan, 0);
    bool at_end_of_line = byte == '\n' || (byte == '\r' && toml_peek(scan, 1) == '\n');
    if (byte == TOML_SCAN_END || at_end_of_line) {
        return toml_fail(scan, string->opened, "the string is not closed; its end is %s",
                         quote_name(string));
    }
    return toml_fail(scan, scan->at, "control character 0x%02x in a string; write it as an escape",
                     (unsigned)byte);
}

/* One byte of plain text, or a line end where there may be one; always LF in the value, so that
 * a script in it works in a file with CR LF too. */
static int read_plain(struct toml_scan *scan, struct string *string)
{
    if (string->multiline && toml_take_newline(scan)) {
        *string->text++ = '\n';
        return 0;
    }
    int byte = toml_peek(scan, 0);
    if (byte == TOML_SCAN_END || toml_is_control(byte)) {
        return fail_in_string(scan, string);
    }
    *string->text++ = *scan->at++;
    return 0;
}

static int read_body(struct toml_scan *scan, struct string *string)
{
    for (;;) {
        int byte = toml_peek(scan, 0);
        if (byte == string->quote) {
            if (read_quotes(scan, string)) {
                return 0;
            }
        } else if (byte == '\\' && string->quote == '"') {
            if (read_escape(scan, string) < 0) {
                return -1;
            }
        } else if (read_plain(scan, string) < 0) {
            return -1;
        }
    }
}

/* Closes the text with a NUL and gives it to the caller. */
static void finish_text(struct toml_scan *scan, char *text_end, struct toml_text *out_text)
{
    *text_end = '\0';
    out_text->bytes = scan->text;
    out_text->length = (size_t)(text_end - scan->text);
    scan->text = text_end + 1;
}

static bool at_triple_quote(const struct toml_scan *scan)
{
    int quote = toml_peek(scan, 0);
    return toml_peek(scan, 1) == quote && toml_peek(scan, 2) == quote;
}

int toml_read_string(struct toml_scan *scan, struct toml_text *out_text)
{
    struct string string = {scan->at, *scan->at, at_triple_quote(scan), scan->text};
    scan->at += string.multiline ? 3 : 1;
    if (string.multiline) {
        (void)toml_take_newline(scan); /* not part of the value right after the opening */
    }
    if (read_body(scan, &string) < 0) {
        return -1;
    }
    finish_text(scan, string.text, out_text);
    return 0;
}

static bool is_bare(int byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

int toml_read_key(struct toml_scan *scan, struct toml_text *out_key)
{
    int byte = toml_peek(scan, 0);
    if (byte == '"' || byte == '\'') {
        if (at_triple_quote(scan)) {
            return toml_fail(scan, scan->at, "a key cannot be a multi-line string");
        }
        return toml_read_string(scan, out_key);
    }
    if (!is_bare(byte)) {
        return toml_fail_expected(scan, "a key");
    }
    char *text = scan->text;
    while (is_bare(toml_peek(scan, 0))) {
        *text++ = *scan->at++;
    }
    finish_text(scan, text, out_key);
    return 0;
}
