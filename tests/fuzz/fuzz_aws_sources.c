/* SPDX-License-Identifier: MIT */
/* What an administrator's files and variables say about where credentials come from. Beyond "no
 * crash": a URL that is trusted in the clear is, to the library that connects, one of this machine
 * or of ECS and EKS; and words that were quoted for a shell are split into the same words. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "driver/aws/sources.h"
#include "driver/aws/words.h"
#include "driver/remote/shell_quote.h"
#include "tests/fuzz/fuzz.h"

static bool is_local(const char *host)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                        "localhost", "[::1]"};
    struct in_addr address;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strcasecmp(host, hosts[i]) == 0) {
            return true;
        }
    }
    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* libcurl decides whom it connects to; one that it refuses gets nothing. */
static void check_url(const char *text)
{
    CURLU *url = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    fuzz_require(url != NULL);
    if (aws_trusts_host_of(text) && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        fuzz_require(strcasecmp(scheme, "https") == 0 || strcasecmp(scheme, "http") == 0);
        fuzz_require(strcasecmp(scheme, "https") == 0 || is_local(host));
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
}

/* The words, quoted and joined, are the same words again. */
static void check_quoted(const struct aws_words *words)
{
    static struct aws_words again;
    struct buffer command;
    buffer_init(&command, SHELL_QUOTE_CEILING_BYTES);
    for (size_t i = 0; i < words->count; i++) {
        fuzz_require((i == 0 || buffer_append_text(&command, " ") == 0) &&
                     shell_quote_word(&command, words->word[i]) == 0);
    }
    if (command.length + 1 < AWS_COMMAND_BYTES) {
        fuzz_require(aws_words_split(command.bytes, &again) == 0);
        fuzz_require(again.count == words->count);
        for (size_t i = 0; i < words->count; i++) {
            fuzz_require(strcmp(words->word[i], again.word[i]) == 0);
        }
    }
    buffer_done(&command);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    struct aws_words *words = malloc(sizeof(*words)); /* on the heap: its end is watched */
    fuzz_require(words != NULL);
    check_url(text);
    if (aws_words_split(text, words) == 0) {
        fuzz_require(words->count > 0 && words->count <= AWS_WORD_CEILING);
        fuzz_require(words->word[words->count] == NULL);
        check_quoted(words);
    }
    free(words);
    free(text);
    return 0;
}
