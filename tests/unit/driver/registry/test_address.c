/* SPDX-License-Identifier: MIT */
#include "driver/registry/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "tests/unit/driver/rows.h"

static const struct {
    const char *text;
    bool allowed;
} rows[] = {
    {"1.1.1.1", true},
    {"10.0.0.1", true},
    {"192.168.1.1", true},
    {"172.16.0.1", true},
    {"100.64.0.1", true},
    {"126.255.255.255", true},
    {"128.0.0.1", true},
    {"169.253.255.255", true},
    {"169.255.0.1", true},
    {"223.255.255.255", true},
    {"0.0.0.0", false},
    {"0.1.2.3", false},
    {"127.0.0.1", false},
    {"127.255.255.255", false},
    {"169.254.0.1", false},
    {"169.254.169.254", false},
    {"169.254.170.2", false},
    {"224.0.0.1", false},
    {"255.255.255.255", false},
    {"2606:4700::1111", true},
    {"fd00::1", true},
    {"fd00:ec3::1", true},
    {"fec0::1", true},
    {"2002:0101:0101::", true},
    {"64:ff9b::1.1.1.1", true},
    {"::ffff:10.0.0.1", true},
    {"::", false},
    {"::1", false},
    {"::127.0.0.1", false},
    {"::ffff:127.0.0.1", false},
    {"::ffff:169.254.169.254", false},
    {"64:ff9b::127.0.0.1", false},
    {"64:ff9b::a9fe:a9fe", false},
    {"2002:7f00:1::", false},
    {"2002:a9fe:a9fe::1", false},
    {"fe80::1", false},
    {"febf:ffff::1", false},
    {"fd00:ec2::254", false},
    {"ff02::1", false},
};

static bool socket_allowed(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return address_is_allowed((const struct sockaddr *)&in);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return address_is_allowed((const struct sockaddr *)&in6);
}

static void judges_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char host[64];
        bool v6 = strchr(rows[i].text, ':') != NULL;
        (void)snprintf(host, sizeof(host), "%s%s%s", v6 ? "[" : "", rows[i].text, v6 ? "]" : "");
        if (socket_allowed(rows[i].text) != rows[i].allowed ||
            address_host_is_allowed(host) != rows[i].allowed) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void refuses_other_families(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_false(address_is_allowed((const struct sockaddr *)&un));
}

static void judges_names(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool allowed;
    } names[] = {
        {"registry.example", true},
        {"registry.example.", true},
        {"a-1.example", true},
        {"localhost.example", true},
        {"notlocalhost", true},
        {"x1", true},
        {"localhost", false},
        {"LOCALHOST", false},
        {"localhost.", false},
        {"a.localhost", false},
        {"127.1", false},
        {"2130706433", false},
        {"0x7f000001", false},
        {"0x7f.1", false},
        {"017700000001", false},
        {"1.2.3.4.5", false},
        {"", false},
        {"[::1", false},
        {"[fe80::1%eth0]", false},
        {"::1", false},
        {"[]", false},
        {"[x]", false},
        {"0", false},
        {"127.0.0.1.", false},
    };
    for (size_t i = 0; i < ROW_COUNT(names); i++) {
        if (address_host_is_allowed(names[i].text) != names[i].allowed) {
            fail_msg("%s", names[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_addresses),
        cmocka_unit_test(refuses_other_families),
        cmocka_unit_test(judges_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
