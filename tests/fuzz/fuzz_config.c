/* SPDX-License-Identifier: MIT */
/* fargate.toml down to the settings. Beyond "no crash": a refusal is the user's and names the file,
 * and what was taken is within the ceilings that the backends rely on. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/config/config_load.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct config *config)
{
    fuzz_require(config->fargate.subnets.count <= CONFIG_SUBNET_CEILING);
    fuzz_require(config->fargate.security_groups.count <= CONFIG_SECURITY_GROUP_CEILING);
    fuzz_require(config->docker.volumes.count <= CONFIG_LIST_CEILING);
    fuzz_require(config->ssh_port >= 1 && config->ssh_port <= 65535);
    fuzz_require(config->ssh_username != NULL && config->metadata_directory != NULL);
    fuzz_require(config->cancel_grace_ms >= 0 && config->cleanup_timeout_ms >= 0);
    fuzz_require(config->fargate.calls_per_second >= 1 && config->docker.memory_bytes >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[FUZZ_PATH_BYTES];
    struct config config;
    struct error err = {0};
    int fd = fuzz_file(bytes, size, path);
    struct config_options options = {.path = path};
    if (config_load(&config, &options, &err) == 0) {
        check(&config);
    } else {
        fuzz_require(err.kind == ERROR_USAGE && strstr(err.message, path) != NULL);
    }
    config_log_warnings(&config);
    config_done(&config);
    (void)close(fd);
    return 0;
}
