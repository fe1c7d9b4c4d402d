/* SPDX-License-Identifier: MIT */
#include "driver/script.h"

#include <sodium.h>
#include <string.h>

#include "common/fd.h"

#define COMMAND_CEILING_BYTES 4096

/* No single quote may occur in here: it travels inside a pair of them. The unset comes first so
 * that a variable of this name in the container's environment loses its export, and goes into
 * the same line as the script's first, so that the line numbers in error messages stay right. */
static const char bootstrap[] =
    "unset berth_s; berth_m=%s; "
    "command -v cat >/dev/null 2>&1 || { "
    "echo \"berth: no cat in PATH ($PATH); the image needs it to receive scripts\" >&2; "
    "exit 127; }; "
    "berth_s=$(cat); exec </dev/null; "
    "case $berth_s in \"$berth_m\"*\"$berth_m\") ;; "
    "*) echo \"berth: the script did not arrive whole and was not started\" >&2; exit %d ;; esac; "
    "berth_s=${berth_s#\"$berth_m\"}; berth_s=${berth_s%%\"$berth_m\"}; "
    "eval \"unset berth_b berth_m berth_s; $berth_s\"";

/* A bash that was started as sh is in POSIX mode, where some of what scripts use is missing. */
static const char launcher[] =
    "case ${BASH_VERSION-}:${BASH-} in ?*:*/bash) ;; "
    "*) if command -v bash >/dev/null 2>&1; then exec bash -c \"$berth_b\"; fi ;; esac; "
    "eval \"$berth_b\"";

static void make_marker(char out[SCRIPT_MARKER_BYTES])
{
    unsigned char random[16];
    char hex[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(out, SCRIPT_MARKER_BYTES, "berth-%s", hex);
}

static int write_command(struct buffer *command, const char *marker)
{
    if (buffer_append_text(command, "berth_b='") < 0 ||
        buffer_printf(command, bootstrap, marker, SCRIPT_CUT_OFF_STATUS) < 0 ||
        buffer_append_text(command, "'; ") < 0 || buffer_append_text(command, launcher) < 0) {
        return -1;
    }
    return 0;
}

int script_frame(const char *text, size_t length, struct script *script, struct error *err)
{
    const char *marker = script->marker;
    make_marker(script->marker);
    buffer_init(&script->command, COMMAND_CEILING_BYTES);
    buffer_init(&script->input, SCRIPT_CEILING_BYTES + 2 * SCRIPT_MARKER_BYTES);
    if (memchr(text, '\0', length) != NULL) {
        return error_set(err, ERROR_BUILD, 0,
                         "the script has a NUL byte, which no shell can evaluate");
    }
    if (write_command(&script->command, marker) < 0 ||
        buffer_append_text(&script->input, marker) < 0 ||
        buffer_append(&script->input, text, length) < 0 ||
        buffer_append_text(&script->input, marker) < 0) {
        script_done(script);
        return error_set(err, ERROR_LIMIT, 0, "the script has %zu bytes, more than %lu", length,
                         SCRIPT_CEILING_BYTES);
    }
    return 0;
}

int script_frame_file(const char *path, struct script *script, struct error *err)
{
    struct buffer text;
    buffer_init(&text, SCRIPT_CEILING_BYTES);
    *script = (struct script){0};
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        (void)error_wrap(err, "cannot read the script that the runner passed");
    } else {
        result = script_frame(text.bytes == NULL ? "" : text.bytes, text.length, script, err);
    }
    buffer_done(&text);
    return result;
}

void script_done(struct script *script)
{
    buffer_done(&script->input);
    buffer_done(&script->command);
}
