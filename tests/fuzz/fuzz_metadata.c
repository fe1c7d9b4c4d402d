/* SPDX-License-Identifier: MIT */
/* A job's metadata file. Beyond "no crash": what is accepted, saved and loaded again, is the same.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "driver/record/keys.h"
#include "driver/record/metadata.h"
#include "tests/fuzz/fuzz.h"

#define JOB "job-1-0123456789abcdef"

static char directory[] = "/tmp/berth-fuzz-XXXXXX";

static void remove_directory(void)
{
    struct error err = {0};
    (void)metadata_remove(directory, JOB, &err);
    (void)rmdir(directory);
}

static void write_file(const uint8_t *bytes, size_t size)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/" JOB ".json", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_require(fd >= 0 && fd_write_all(fd, bytes, size, CLOCK_NEVER) == 0);
    (void)close(fd);
}

/* As text: cJSON_Compare() finds an object that has a name twice unlike itself. */
static bool is_same(const cJSON *a, const cJSON *b)
{
    char *first = cJSON_PrintUnformatted(a);
    char *second = cJSON_PrintUnformatted(b);
    bool same = first != NULL && second != NULL && strcmp(first, second) == 0;
    cJSON_free(first);
    cJSON_free(second);
    return same;
}

static void check_again(const struct metadata *metadata)
{
    struct metadata *again = NULL;
    struct error err = {0};
    fuzz_require(metadata_save(metadata, directory, &err) == 0);
    fuzz_require(metadata_load(directory, JOB, &again, &err) == 1);
    fuzz_require(strcmp(metadata->backend, again->backend) == 0);
    fuzz_require(metadata->has_helper == again->has_helper && metadata->owned == again->owned);
    for (int i = 0; i < METADATA_CONTAINERS; i++) {
        const struct metadata_agent *agents[] = {&metadata->agents[i], &again->agents[i]};
        fuzz_require(strcmp(agents[0]->host, agents[1]->host) == 0);
        fuzz_require(strcmp(agents[0]->host_key, agents[1]->host_key) == 0);
        fuzz_require(agents[0]->port == agents[1]->port);
    }
    cJSON *origins[] = {cJSON_CreateObject(), cJSON_CreateObject()};
    fuzz_require(origin_add(origins[0], &metadata->origin));
    fuzz_require(origin_add(origins[1], &again->origin));
    fuzz_require(is_same(origins[0], origins[1]));
    cJSON_Delete(origins[0]);
    cJSON_Delete(origins[1]);
    fuzz_require(memcmp(metadata->keys, again->keys, sizeof(*again->keys)) == 0);
    fuzz_require(is_same(metadata->state, again->state));
    metadata_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool ready;
    struct metadata *metadata = NULL;
    struct error err = {0};
    if (!ready) {
        fuzz_require(keys_init(&err) == 0 && mkdtemp(directory) != NULL);
        fuzz_require(atexit(remove_directory) == 0);
        ready = true;
    }
    write_file(bytes, size);
    int result = metadata_load(directory, JOB, &metadata, &err);
    fuzz_require(result == 1 || (result == -1 && err.message[0] != '\0'));
    if (result == 1) {
        check_again(metadata);
    }
    metadata_free(metadata);
    return 0;
}
