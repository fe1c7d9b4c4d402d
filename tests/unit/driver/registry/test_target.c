/* SPDX-License-Identifier: MIT */
#include "driver/registry/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tests/unit/driver/rows.h"

static char plain[] = "plain.example";
static char local[] = "127.0.0.1:5000";
static const struct config_list insecure = {.entries = {plain, local}, .count = 2};

static void checks_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host; /* NULL: refused */
    } rows[] = {
        {"https://registry.example/v2/", "registry.example"},
        {"https://Registry.Example:443/v2/", "registry.example"},
        {"https://registry.example:8443/x?y=z#f", "registry.example:8443"},
        {"https://10.0.0.1/", "10.0.0.1"},
        {"https://[fd00::1]:5000/", "[fd00::1]:5000"},
        {"http://plain.example/", "plain.example"},
        {"http://127.0.0.1:5000/", "127.0.0.1:5000"},
        {"http://registry.example/", NULL},
        {"http://plain.example:8080/", NULL},
        {"http://127.0.0.1:5001/", NULL},
        {"https://127.0.0.1:5001/", NULL},
        {"https://127.1/", NULL},
        {"https://localhost/", NULL},
        {"https://user@registry.example/", NULL},
        {"https://user:word@registry.example/", NULL},
        {"https://:@registry.example/", NULL},
        {"ftp://registry.example/", NULL},
        {"file:///etc/passwd", NULL},
        {"registry.example", NULL},
        {"https://", NULL},
        {"", NULL},
        {"https://a b/", NULL},
        {"https://registry.example:99999/", NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct target target = {.host = "untouched"};
        struct error err;
        int result = target_set(rows[i].url, &insecure, &target, &err);
        const char *host = rows[i].host == NULL ? "untouched" : rows[i].host;
        if (result != (rows[i].host == NULL ? -1 : 0) || strcmp(target.host, host) != 0) {
            fail_msg("%s: %d %s", rows[i].url, result, target.host);
        }
    }
}

static void follows_locations(void **state)
{
    (void)state;
    static const struct {
        const char *location, *url;
    } rows[] = {
        {"/v2/x", "https://registry.example/v2/x"},
        {"y?z", "https://registry.example/a/y?z"},
        {"//other.example/x", "https://other.example/x"},
        {"https://other.example/x?X-Amz-Signature=a%2Fb", NULL},
    };
    struct error err;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct target target;
        assert_int_equal(target_set("https://registry.example/a/b", &insecure, &target, &err), 0);
        assert_int_equal(target_follow(&target, rows[i].location, &insecure, &target, &err), 0);
        assert_string_equal(target.url, rows[i].url != NULL ? rows[i].url : rows[i].location);
    }
}

static void refuses_locations(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "http://registry.example/", "//169.254.169.254/",
                                       "https://user@other.example/", "javascript:x"};
    struct error err;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct target target;
        struct target from;
        assert_int_equal(target_set("https://registry.example/a/b", &insecure, &from, &err), 0);
        target = from;
        if (target_follow(&from, rows[i], &insecure, &target, &err) == 0) {
            fail_msg("%s: %s", rows[i], target.url);
        }
        assert_string_equal(target.url, from.url);
    }
}

static void adds_queries(void **state)
{
    (void)state;
    struct target target;
    struct error err;
    char value[2048];
    assert_int_equal(target_set("https://r.example/t?a=b", &insecure, &target, &err), 0);
    assert_int_equal(target_add_query(&target, "scope", "repository:a/b:pull", &err), 0);
    assert_string_equal(target.url, "https://r.example/t?a=b&scope=repository%3Aa%2Fb%3Apull");
    assert_int_equal(target_add_query(&target, "service", "x&y=z #", &err), 0);
    assert_non_null(strstr(target.url, "&service=x%26y%3Dz"));
    (void)snprintf(value, sizeof(value), "%02000d", 0);
    assert_int_equal(target_add_query(&target, "service", value, &err), -1);
}

static bool proxied(bool https, const char *address, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    return target_is_proxy(https, (const struct sockaddr *)&in);
}

static void knows_a_proxy_on_this_host(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < ROW_COUNT(names); i++) {
        (void)unsetenv(names[i]);
    }
    assert_false(proxied(true, "127.0.0.1", 3128));
    (void)setenv("https_proxy", "http://127.0.0.1:3128", 1);
    assert_true(proxied(true, "127.0.0.1", 3128));
    assert_false(proxied(true, "127.0.0.1", 3129));
    assert_false(proxied(false, "127.0.0.1", 3128));
    (void)setenv("https_proxy", "localhost:3128", 1);
    assert_true(proxied(true, "127.0.0.1", 3128));
    (void)setenv("https_proxy", "socks5h://127.0.0.1", 1);
    assert_true(proxied(true, "127.0.0.1", 1080));
    (void)setenv("https_proxy", "http://proxy.example:3128", 1);
    assert_false(proxied(true, "127.0.0.1", 3128));
    (void)unsetenv("https_proxy");
    (void)setenv("ALL_PROXY", "http://127.0.0.1:8080", 1);
    assert_true(proxied(false, "127.0.0.1", 8080));
    (void)unsetenv("ALL_PROXY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_urls),
        cmocka_unit_test(follows_locations),
        cmocka_unit_test(refuses_locations),
        cmocka_unit_test(adds_queries),
        cmocka_unit_test(knows_a_proxy_on_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
