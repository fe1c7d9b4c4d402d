/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/host.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/driver/rows.h"

/* A service of systemd has no HOME. */
static void certificates_are_looked_for_without_home(void **state)
{
    (void)state;
    static const char *const homes[] = {NULL, "", "/nonexistent"};
    const struct passwd *user = getpwuid(geteuid());
    struct config config = {
        .docker = {.host = (char[]){"tcp://engine:2376"}, .tls_verify = CONFIG_YES}};
    (void)unsetenv("DOCKER_CERT_PATH");
    for (size_t i = 0; user != NULL && i < ROW_COUNT(homes); i++) {
        bool named = homes[i] != NULL && homes[i][0] != '\0';
        struct docker_host host;
        struct error err = {0};
        char wanted[PATH_MAX];
        (void)(homes[i] == NULL ? unsetenv("HOME") : setenv("HOME", homes[i], 1));
        (void)snprintf(wanted, sizeof(wanted), "cannot read '%s/.docker/ca.pem' for TLS",
                       named ? homes[i] : user->pw_dir);
        assert_int_equal(docker_host_find(&config, &host, &err), -1);
        rows_assert_contains("message", err.message, wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_looked_for_without_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
