/* SPDX-License-Identifier: MIT */
#include "driver/remote/script_bootstrap.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "common/fd.h"
#include "driver/remote/shell_quote.h"

#define BOOTSTRAP_CEILING_BYTES 4096

/* The signs go between these parts. The unset comes first so that a variable of this name in the
 * container's environment loses its export, and is on the same line as the script's first line, so
 * that line numbers in error messages stay right. bash reads the agent's file itself; other
 * shells, and bash with a pipe or socket or without /proc, start 'cat'. The markers are compared
 * byte by byte (LC_ALL=C): in other locales bash may not find them. */
static const char before_ready[] =
    "unset berth_s; berth_m=%s; exec 2>&1; "
    "if command -v cat >/dev/null; then berth_c=cat; "
    "elif command -v busybox >/dev/null; then berth_c=\"busybox cat\"; "
    "else echo \"berth: error: no cat in PATH ($PATH); the image needs it to receive scripts\"; "
    "exit 127; fi; ";
static const char before_begun[] =
    "; if [ -n \"${BASH_VERSION-}\" ] && [ -f /proc/self/fd/3 ] && [ -r /proc/self/fd/3 ]; then "
    "{ berth_s=$(</proc/self/fd/3); } 2>/dev/null; fi; "
    "[ -n \"${berth_s-}\" ] || berth_s=$(command $berth_c <&3); exec 3<&-; "
    "berth_l=${LC_ALL-}; berth_u=${LC_ALL+x}; { LC_ALL=C; } 2>/dev/null; "
    "case $berth_s in \"$berth_m\"*\"$berth_m\") ;; "
    "*) echo \"berth: error: the script was cut off in transit and was not started\"; exit %d ;; "
    "esac; "
    "berth_s=${berth_s#\"$berth_m\"}; berth_s=${berth_s%%\"$berth_m\"}; "
    "{ if [ -n \"$berth_u\" ]; then LC_ALL=$berth_l; else unset LC_ALL; fi; } 2>/dev/null; ";
static const char at_the_end[] =
    "; eval \"unset berth_b berth_c berth_l berth_m berth_s berth_u; $berth_s\"";

static int write_bootstrap(struct script_bootstrap *script)
{
    struct buffer *text = &script->words;
    /* An empty directory: the user's home. */
    if (buffer_append(text, "", 1) < 0 || buffer_printf(text, before_ready, script->marker) < 0 ||
        begin_sign_append(&script->sign, BEGIN_SIGN_READY, text) < 0 ||
        buffer_printf(text, before_begun, SCRIPT_BOOTSTRAP_CUT_OFF_STATUS) < 0 ||
        begin_sign_append(&script->sign, BEGIN_SIGN_BEGUN, text) < 0) {
        return -1;
    }
    return buffer_append(text, at_the_end, sizeof(at_the_end)); /* with its NUL */
}

static int make(const char *text, size_t length, struct script_bootstrap *script, struct error *err)
{
    unsigned char random[16];
    char hex[2 * sizeof(random) + 1];
    randombytes_buf(random, sizeof(random));
    (void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    (void)snprintf(script->marker, sizeof(script->marker), "berth-%s", hex);
    begin_sign_init(&script->sign, BEGIN_SIGN_READY);
    buffer_init(&script->words, BOOTSTRAP_CEILING_BYTES);
    buffer_init(&script->command, SHELL_QUOTE_LOGIN_BYTES);
    buffer_init(&script->input, SCRIPT_BOOTSTRAP_CEILING_BYTES + 2 * SCRIPT_BOOTSTRAP_MARKER_BYTES);
    if (memchr(text, '\0', length) != NULL) {
        return error_set(err, ERROR_BUILD, 0,
                         "the script contains a NUL byte, which no shell can run");
    }
    if (length > SCRIPT_BOOTSTRAP_CEILING_BYTES) {
        return error_set(err, ERROR_BUILD, 0, "the script is %zu bytes long; the limit is %lu",
                         length, SCRIPT_BOOTSTRAP_CEILING_BYTES);
    }
    if (write_bootstrap(script) < 0 ||
        shell_quote_for_login(&script->command, script->words.bytes + 1, true) < 0 ||
        buffer_append_text(&script->input, script->marker) < 0 ||
        buffer_append(&script->input, text, length) < 0 ||
        buffer_append_text(&script->input, script->marker) < 0) {
        script_bootstrap_done(script);
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot prepare the script");
    }
    return 0;
}

int script_bootstrap_read(const char *path, struct script_bootstrap *script, struct error *err)
{
    struct buffer text;
    buffer_init(&text, SCRIPT_BOOTSTRAP_CEILING_BYTES);
    *script = (struct script_bootstrap){0};
    int result = fd_read_file(path, &text, err);
    if (result < 0) {
        if (err != NULL && err->kind == ERROR_LIMIT) {
            err->kind = ERROR_BUILD; /* a retry cannot change it */
        }
        (void)error_wrap(err, "cannot read the script that the runner passed");
    } else {
        result = make(text.bytes == NULL ? "" : text.bytes, text.length, script, err);
    }
    buffer_done(&text);
    return result;
}

void script_bootstrap_done(struct script_bootstrap *script)
{
    buffer_done(&script->input);
    buffer_done(&script->command);
    buffer_done(&script->words);
}
