/* SPDX-License-Identifier: MIT */
#include "agent/hosts.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tests/unit/rows.h"

struct find_row {
    const char *name;
    const char *text;
    const char *wanted; /* addresses of "db", separated by blanks */
    enum hosts_state state;
};

static const struct find_row find_rows[] = {
    {"empty file", "", "", HOSTS_MISSING},
    {"plain", "127.0.0.1 db\n", "127.0.0.1", HOSTS_LOOPBACK},
    {"no newline", "127.0.0.1 db", "127.0.0.1", HOSTS_LOOPBACK},
    {"tabs, alias, carriage return", "127.8.0.1\t a\t\tDB\r\n", "127.8.0.1", HOSTS_LOOPBACK},
    {"IPv6", "::1 db\n", "::1", HOSTS_LOOPBACK},
    {"two lines", "10.0.0.1 db\n127.0.0.1 db\n", "10.0.0.1 127.0.0.1", HOSTS_ELSEWHERE},
    {"both families", "127.0.0.1 db\n::1 db\n", "127.0.0.1 ::1", HOSTS_LOOPBACK},
    {"another IPv6", "fe80::1 db\n", "fe80::1", HOSTS_ELSEWHERE},
    {"at most three", "1.1.1.1 db\n1.1.1.2 db\n1.1.1.3 db\n1.1.1.4 db\n", "1.1.1.1 1.1.1.2 1.1.1.3",
     HOSTS_ELSEWHERE},
    {"comment line", "# 127.0.0.1 db\n", "", HOSTS_MISSING},
    {"comment behind", "127.0.0.1 a # db\n", "", HOSTS_MISSING},
    {"comment without a blank", "127.0.0.1 a#db\n", "", HOSTS_MISSING},
    {"comment right behind", "127.0.0.1 db#x\n", "127.0.0.1", HOSTS_LOOPBACK},
    {"longer name", "127.0.0.1 dbx db.x xdb\n", "", HOSTS_MISSING},
    {"no address", "db db\n", "", HOSTS_MISSING},
    {"bad address", "127.0.0.256 db\n127.0.0.1 db\n", "127.0.0.1", HOSTS_LOOPBACK},
    {"scope", "fe80::1%eth0 db\n", "", HOSTS_MISSING},
    {"long address", "1111111111111111111111111111111111111111111111111111 db\n", "",
     HOSTS_MISSING},
    {"address alone", "127.0.0.1\n127.0.0.1 ", "", HOSTS_MISSING},
    {"blank lines", "\n\n \n\t\n127.0.0.1 db", "127.0.0.1", HOSTS_LOOPBACK},
};

static void add_address(char *text, size_t room, const struct sockaddr_storage *address)
{
    char one[INET6_ADDRSTRLEN];
    const void *bytes = address->ss_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
    assert_non_null(inet_ntop(address->ss_family, bytes, one, sizeof(one)));
    size_t used = strlen(text);
    (void)snprintf(text + used, room - used, "%s%s", used == 0 ? "" : " ", one);
}

static void check_find(const char *text, size_t length, const char *name, const char *wanted)
{
    struct sockaddr_storage found[3];
    char shown[256] = "";
    size_t count = hosts_find(text, length, name, found, 3);
    for (size_t i = 0; i < count; i++) {
        add_address(shown, sizeof(shown), &found[i]);
    }
    assert_string_equal(shown, wanted);
}

static void test_find(void **state)
{
    const struct find_row *row = *state;
    check_find(row->text, strlen(row->text), "db", row->wanted);
    assert_int_equal(hosts_state(row->text, strlen(row->text), "db"), row->state);
}

static void test_localhost(void **state)
{
    (void)state;
    check_find("", 0, "localhost", "127.0.0.1 ::1");
    check_find("10.0.0.1 localhost", 18, "localhost", "10.0.0.1");
    check_find("127.0.0.1 a\0db\n", 15, "db", "");
    check_find("127.0.0.1 db", 11, "db", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_localhost)};
    return rows_run(find_rows, test_find) + cmocka_run_group_tests(tests, NULL, NULL);
}
