/* SPDX-License-Identifier: MIT */
#include "agent/init/listen.h"

#include <unistd.h>

#include "tests/unit/rows.h"

struct row {
    const char *name;
    const char *where;
    int result;
};

static const struct row rows[] = {
    {"address and port", "127.0.0.1:0", 0},
    {"all addresses", ":0", 0},
    {"port alone", "0", 0},
    {"empty", "", -1},
    {"no port", "127.0.0.1:", -1},
    {"address alone", "127.0.0.1", -1},
    {"name", "localhost:0", -1},
    {"port too large", "127.0.0.1:65536", -1},
    {"negative port", ":-1", -1},
    {"words after the port", ":22x", -1},
    {"empty brackets", "[]:0", -1},
    {"one bracket", "[::1:0", -1},
    {"address of 200 bytes",
     "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
     "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111:0",
     -1},
};

static void test_open(void **state)
{
    const struct row *row = *state;
    struct error err = {0};
    int fd = -77;
    int port = -77;
    assert_int_equal(listen_open(row->where, &fd, &port, &err), row->result);
    if (row->result == 0) {
        assert_in_range(port, 1, 65535);
        (void)close(fd);
    } else {
        assert_int_equal(fd, -77);
        assert_int_equal(port, -77);
        assert_int_equal(err.kind, ERROR_USAGE);
    }
}

int main(void)
{
    return rows_run(rows, test_open);
}
