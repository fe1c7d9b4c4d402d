/* SPDX-License-Identifier: MIT */
#include "driver/aws/sources.h"
#include "driver/aws/words.h"

#include "tests/unit/rows.h"

struct url_row {
    const char *name;
    const char *url;
    bool trusted;
};

static const struct url_row url_rows[] = {
    {"TLS anywhere", "https://credentials.example/v1", true},
    {"loopback", "http://127.0.0.1:8080/creds", true},
    {"all of 127", "http://127.255.3.4/", true},
    {"name of this machine", "http://LocalHost/x", true},
    {"loopback of IPv6", "http://[::1]:80/", true},
    {"ECS", "http://169.254.170.2/v2", true},
    {"EKS", "http://169.254.170.23/v1", true},
    {"EKS over IPv6", "http://[fd00:ec2::23]/v1", true},
    {"another host", "http://credentials.example/", false},
    {"another scheme", "ftp://127.0.0.1/", false},
    {"a user that looks like a host", "http://localhost@other.example/", false},
    {"a backslash", "http://localhost\\@other.example/", false},
    {"a name that begins so", "http://127.0.0.1.other.example/", false},
    {"three parts", "http://127.0.1/", false},
    {"a part above 255", "http://127.0.0.256/", false},
    /* No IPv4 address to libcurl, which would ask a name server for it. */
    {"a leading zero", "http://127.0.0.009/", false},
    {"an empty part", "http://127.0..1/", false},
    {"nothing", "", false},
};

static void test_trust(void **state)
{
    const struct url_row *row = *state;
    assert_int_equal(aws_trusts_host_of(row->url), row->trusted);
}

struct words_row {
    const char *name;
    const char *command;
    int result;
    const char *words[4];
};

static const struct words_row words_rows[] = {
    {"one", "/bin/creds", 0, {"/bin/creds"}},
    {"blanks around", " \ta  b\n", 0, {"a", "b"}},
    {"single quotes", "a 'b  \\c'", 0, {"a", "b  \\c"}},
    {"double quotes", "a \"b \\\"c\\\" \\d\"", 0, {"a", "b \"c\" \\d"}},
    {"empty word", "a '' b", 0, {"a", "", "b"}},
    {"pieces of one word", "a'b'\"c\"\\ d", 0, {"abc d"}},
    {"nothing", "  ", -1, {NULL}},
    {"open quote", "a 'b", -1, {NULL}},
    {"backslash at the end", "a \\", -1, {NULL}},
};

static void test_words(void **state)
{
    const struct words_row *row = *state;
    struct aws_words words;
    assert_int_equal(aws_words_split(row->command, &words), row->result);
    for (size_t i = 0; row->result == 0 && i <= words.count; i++) {
        if (row->words[i] == NULL) {
            assert_null(words.word[i]);
        } else {
            assert_string_equal(words.word[i], row->words[i]);
        }
    }
}

int main(void)
{
    return rows_run(url_rows, test_trust) + rows_run(words_rows, test_words);
}
