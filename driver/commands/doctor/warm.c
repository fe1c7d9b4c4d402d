/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "common/clock.h"
#include "common/parse.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/checks.h"
#include "driver/record/pool_failure.h"
#include "driver/warm/warm.h"

#define STEP_S      900
#define STEPS       (28 * 96) /* of four weeks: schedules repeat each week */
#define MONTH_HOURS 730.0
#define CPU_UNITS   1024.0
#define MIB_PER_GIB 1024.0

/* File systems that machines share (linux/magic.h, statfs(2)). */
static const char *shared_type(long type)
{
    static const struct {
        unsigned type;
        const char *name;
    } rows[] = {
        {0x6969, "NFS"},      {0x517b, "SMB"},      {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
        {0x01021997, "9P"},   {0x65735546, "FUSE"}, {0x00c36400, "Ceph"},  {0x5346414f, "AFS"},
        {0x6b414653, "AFS"},  {0x01161970, "GFS2"}, {0x7461636f, "OCFS2"}, {0x0bd00bd0, "Lustre"},
        {0x47504653, "GPFS"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].type == (unsigned)type) {
            return rows[i].name;
        }
    }
    return NULL;
}

static void check_disk(struct doctor *doctor)
{
    const char *directory = doctor->config->metadata_directory;
    struct statfs system;
    const char *shared = statfs(directory, &system) == 0 ? shared_type((long)system.f_type) : NULL;
    if (shared != NULL) {
        doctor_report(doctor, DOCTOR_FAIL, "set [TaskMetadata] Directory to a local disk",
                      "metadata directory '%s' is on %s: two hosts could claim one warm task",
                      directory, shared);
    }
}

/* A size of the configuration, else that of the task definition if it is the one that doctor has
 * fetched; 0: not known. */
static double ecs_size(const struct doctor *doctor, const struct config *own, int64_t configured,
                       const char *member)
{
    const char *name = doctor->config->fargate.task_definition;
    int64_t size = configured;
    bool is_known = name != NULL && strcmp(name, own->fargate.task_definition) == 0;
    if (size == 0 && (!is_known || parse_integer(json_text_or_empty(doctor->definition, member), 0,
                                                 INT32_MAX, &size) < 0)) {
        size = 0;
    }
    return (double)size;
}

/* Price of one task for an hour; 0: not known. */
static double hourly(const struct doctor *doctor, const struct config_warm *entry)
{
    const struct config *config = doctor->config;
    struct config own;
    warm_apply(config, entry, &own);
    double vcpus = (double)own.docker.nano_cpus / 1e9;
    double gib = (double)own.docker.memory_bytes / (double)(1UL << 30);
    if (backend_choose(config, NULL) == &backend_ecs) {
        const struct config_size *size = &own.fargate.size;
        vcpus = ecs_size(doctor, &own, size->cpu_units, "cpu") / CPU_UNITS;
        gib = ecs_size(doctor, &own, size->memory_mib, "memory") / MIB_PER_GIB;
    }
    return vcpus > 0 && gib > 0 ? vcpus * config->price.vcpu_hour + gib * config->price.gib_hour
                                : 0;
}

/* Adds the entry's tasks at each step to 'sums' and returns their mean. */
static double add_tasks(const struct config_warm *entry, int64_t now_s, int64_t sums[STEPS])
{
    double total = 0;
    for (int i = 0; i < STEPS; i++) {
        int64_t wanted =
            schedule_wanted(&entry->schedule, now_s + (int64_t)i * STEP_S, entry->tasks);
        sums[i] += wanted;
        total += (double)wanted;
    }
    return total / (double)STEPS;
}

static void check_entry(struct doctor *doctor, const struct config_warm *entry, double mean)
{
    const struct config *config = doctor->config;
    double price = hourly(doctor, entry) * MONTH_HOURS;
    bool is_priced = config->price.vcpu_hour > 0 || config->price.gib_hour > 0;
    bool is_ecs = backend_choose(config, NULL) == &backend_ecs;
    char text[96] = "";
    if (price > 0) {
        (void)snprintf(text, sizeof(text), ", %.2f per month on demand", price * mean);
    } else if (is_priced) {
        (void)snprintf(text, sizeof(text), "; the price is not known without %s",
                       is_ecs ? "Cpu and Memory" : "[Docker] CPUs and Memory");
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "'%s': %.1f tasks on average, at most %lld%s",
                  warm_name(entry), mean, (long long)schedule_most(&entry->schedule, entry->tasks),
                  text);
}

static void check_failures(struct doctor *doctor)
{
    struct pool_failures failures;
    struct error err = {0};
    char text[POOL_FAILURE_TEXT_BYTES];
    int64_t now_s = clock_unix_s();
    if (pool_failures_read(doctor->config->metadata_directory, &failures, &err) < 0) {
        doctor_report_error(doctor, &err, NULL);
    }
    for (size_t i = 0; i < failures.count; i++) {
        const struct pool_failure *failure = &failures.entries[i];
        if (!pool_failure_is_old(failure, now_s)) {
            pool_failure_text(failure, now_s, text);
            doctor_report(doctor, DOCTOR_WARN,
                          "remove the cause; a change of the configuration file ends the pause",
                          "'%s': %s", failure->name, text);
        }
    }
    pool_failures_done(&failures);
}

static void check_sum(struct doctor *doctor, const int64_t sums[STEPS])
{
    int64_t most = 0;
    for (int i = 0; i < STEPS; i++) {
        most = sums[i] > most ? sums[i] : most;
    }
    if (most > doctor->config->warm_tasks_maximum) {
        doctor_report(doctor, DOCTOR_WARN, "raise [WarmPool] MaxTasks, or lower Tasks or Schedule",
                      "all [[Warm]] together ask for %lld tasks at some time, and [WarmPool] "
                      "MaxTasks is %lld",
                      (long long)most, (long long)doctor->config->warm_tasks_maximum);
    }
}

void doctor_check_warm(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const struct backend *backend = backend_choose(config, NULL);
    char(*wishes)[METADATA_WISH_BYTES] = NULL;
    struct error err = {0};
    if (config->warm_count == 0 || backend == NULL) {
        return;
    }
    doctor_print_heading(doctor, "Warm tasks");
    check_disk(doctor);
    check_failures(doctor);
    if (warm_wishes(config, backend, &wishes, &err) < 0) {
        doctor_report_error(doctor, &err, NULL);
    }
    free(wishes);
    int64_t *sums = calloc(STEPS, sizeof(*sums));
    int64_t now_s = clock_unix_s();
    for (size_t i = 0; sums != NULL && i < config->warm_count; i++) {
        struct config_warm *entry = &config->warm[i];
        if (schedule_load(&entry->schedule, NULL, &err) < 0) {
            (void)error_wrap(&err, "%s:%u: [[Warm]]", config->path, entry->line);
            doctor_report_error(doctor, &err, NULL);
        } else {
            check_entry(doctor, entry, add_tasks(entry, now_s, sums));
        }
    }
    if (sums != NULL) {
        check_sum(doctor, sums);
    }
    free(sums);
}
