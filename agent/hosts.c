/* SPDX-License-Identifier: MIT */
#include "agent/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/limits.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/fd.h"

static bool parse_address(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        address.ss_family = AF_INET;
    } else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        address.ss_family = AF_INET6;
    } else {
        return false;
    }
    *out = address;
    return true;
}

/* The next word of a line, without its comment. Returns its length; 0: none. */
static size_t next_word(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\r')) {
        (*at)++;
    }
    const char *word = *at;
    size_t length = 0;
    while (word + length < end && strchr(" \t\r#", word[length]) == NULL) {
        length++; /* strchr() finds a NUL too, which ends a word */
    }
    return length;
}

/* Whether the line from 'at' to 'end' gives 'name' an address. */
static bool line_has(const char *at, const char *end, const char *name,
                     struct sockaddr_storage *out)
{
    char text[INET6_ADDRSTRLEN];
    size_t wanted = strlen(name);
    size_t length = next_word(&at, end);
    if (length == 0 || length >= sizeof(text)) {
        return false;
    }
    memcpy(text, at, length);
    text[length] = '\0';
    at += length;
    if (!parse_address(text, out)) {
        return false;
    }
    while ((length = next_word(&at, end)) > 0) {
        if (length == wanted && strncasecmp(at, name, length) == 0) {
            return true;
        }
        at += length;
    }
    return false;
}

size_t hosts_find(const char *text, size_t length, const char *name, struct sockaddr_storage *out,
                  size_t room)
{
    const char *end = text + length;
    size_t count = 0;
    for (const char *line = text; line < end && count < room;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = newline == NULL ? end : newline;
        struct sockaddr_storage address;
        if (line_has(line, line_end, name, &address)) {
            out[count++] = address;
        }
        line = newline == NULL ? end : newline + 1;
    }
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    bool implied = count == 0 && strcasecmp(name, "localhost") == 0;
    for (size_t i = 0; implied && i < 2 && count < room; i++) {
        count += parse_address(loopback[i], &out[count]);
    }
    return count;
}

/* A missing file is an empty text. */
static int read_file(const char *path, struct buffer *out, struct error *err)
{
    buffer_init(out, LIMIT_HOSTS_BYTES);
    return access(path, F_OK) < 0 && errno == ENOENT ? 0 : fd_read_file(path, out, err);
}

int hosts_find_in(const char *path, const char *name, struct sockaddr_storage *out, size_t room,
                  size_t *out_count, struct error *err)
{
    cleanup_buffer struct buffer text;
    if (read_file(path, &text, err) < 0) {
        return -1;
    }
    *out_count = hosts_find(text.length == 0 ? "" : text.bytes, text.length, name, out, room);
    return 0;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

enum hosts_state hosts_state(const char *text, size_t length, const char *name)
{
    struct sockaddr_storage first; /* the one that programs use */
    if (hosts_find(text, length, name, &first, 1) == 0) {
        return HOSTS_MISSING;
    }
    return is_loopback(&first) ? HOSTS_LOOPBACK : HOSTS_ELSEWHERE;
}

/* One write to a file opened for appending: another container that adds names at the same time
 * neither mixes with this line nor loses its own. */
static int append_line(const char *path, const struct buffer *line, struct error *err)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open '%s' for writing", path);
    }
    ssize_t written = write(fd, line->bytes, line->length);
    if (written != (ssize_t)line->length) {
        return error_set(err, ERROR_SYSTEM, written < 0 ? errno : ENOSPC, "cannot write to '%s'",
                         path);
    }
    return 0;
}

int hosts_add(const char *path, const char *const names[], size_t count,
              enum hosts_state *out_states, struct error *err)
{
    cleanup_buffer struct buffer text;
    cleanup_buffer struct buffer line;
    buffer_init(&line, LIMIT_HOSTS_BYTES);
    if (read_file(path, &text, err) < 0) {
        return -1;
    }
    bool open_line = text.length > 0 && text.bytes[text.length - 1] != '\n';
    int result = buffer_append_text(&line, open_line ? "\n127.0.0.1" : "127.0.0.1");
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        out_states[i] = hosts_state(text.length == 0 ? "" : text.bytes, text.length, names[i]);
        if (out_states[i] == HOSTS_MISSING) {
            any = true;
            result = result < 0 ? result : buffer_printf(&line, " %s", names[i]);
        }
    }
    if (!any) {
        return 0;
    }
    if (result < 0 || buffer_append_text(&line, "\n") < 0) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot add names to '%s'", path);
    }
    return append_line(path, &line, err);
}
