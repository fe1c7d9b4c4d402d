/* SPDX-License-Identifier: MIT */
#include "agent/listen.h"

#include <poll.h>
#include <stdio.h>
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

/* Failed logins of other local processes must not count against the health check. */
static void test_the_health_check_has_its_own_address(void **state)
{
    struct error err = {0};
    char where[64];
    char name[LISTEN_NAME_BYTES];
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof(peer);
    int listener = -1;
    int port = 0;
    int client = -1;
    (void)state;
    assert_int_equal(listen_open("127.0.0.1:0", &listener, &port, &err), 0);
    (void)snprintf(where, sizeof(where), ":%d", port);
    assert_int_equal(listen_connect(where, &client, &err), 0);
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 10000), 1);
    int accepted = accept(listener, (struct sockaddr *)&peer, &length);
    assert_true(accepted >= 0);
    listen_address(&peer, name);
    assert_string_equal(name, LISTEN_CHECK_ADDRESS);
    (void)close(accepted);
    (void)close(client);
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_the_health_check_has_its_own_address)};
    return rows_run(rows, test_open) + cmocka_run_group_tests(others, NULL, NULL);
}
