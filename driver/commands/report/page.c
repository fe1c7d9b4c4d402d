/* SPDX-License-Identifier: MIT */
/* The page with its data and its Content-Security-Policy. The policy names the hashes of the page's
 * own script and style, so that nothing else runs, and forbids every connection. */
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "driver/commands/report/report.h"

#define POLICY_MARK "@POLICY@"
#define DATA_MARK   "@DATA@"
#define HASH_TEXT \
    sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL)

extern const char berth_report_page_start[];
extern const uint64_t berth_report_page_bytes;

/* Where 'text' is in the page; the page's end if it is missing, which a test would show. */
static const char *find(const char *from, const char *text)
{
    const char *end = berth_report_page_start + berth_report_page_bytes;
    const char *found = memmem(from, (size_t)(end - from), text, strlen(text));
    return found == NULL ? end : found;
}

/* The hash of what is between two tags. */
static void hash_between(const char *open, const char *close, char out[HASH_TEXT])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    const char *begin = find(berth_report_page_start, open) + strlen(open);
    const char *end = find(begin, close);
    (void)crypto_hash_sha256(hash, (const unsigned char *)begin, (unsigned long long)(end - begin));
    (void)sodium_bin2base64(out, HASH_TEXT, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
}

int report_page(const struct buffer *data, struct buffer *out)
{
    char script[HASH_TEXT];
    char style[HASH_TEXT];
    const char *start = berth_report_page_start;
    const char *end = start + berth_report_page_bytes;
    const char *policy = find(start, POLICY_MARK);
    const char *place = find(start, DATA_MARK);
    hash_between("<script>", "</script>", script);
    hash_between("<style>", "</style>", style);
    if (policy >= place || place == end ||
        buffer_append(out, start, (size_t)(policy - start)) < 0 ||
        buffer_printf(out,
                      "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
                      "base-uri 'none'; form-action 'none'",
                      script, style) < 0) {
        return -1;
    }
    policy += strlen(POLICY_MARK);
    if (buffer_append(out, policy, (size_t)(place - policy)) < 0 ||
        buffer_append(out, data->bytes, data->length) < 0) {
        return -1;
    }
    place += strlen(DATA_MARK);
    return buffer_append(out, place, (size_t)(end - place));
}
