/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/log.h"
#include "driver/backend/backend.h"
#include "driver/commands/command.h"
#include "driver/commands/output_file.h"
#include "driver/history/store.h"
#include "driver/history/totals.h"
#include "driver/record/metadata_directory.h"
#include "driver/record/pool.h"

#define METRICS_MODE 0644 /* node_exporter reads it as another user */

/* Jobs with metadata, by backend. */
struct running {
    const struct config *config;
    const struct backend *backends[3];
    int counts[3];
};

static int count_job(void *context, const char *job, struct error *err)
{
    struct running *running = context;
    struct metadata *metadata = NULL;
    struct error unusable;
    (void)err;
    if (!pool_has_key(job) && /* a warm task waits for a job */
        metadata_load(running->config->metadata_directory, job, &metadata, &unusable) == 1) {
        for (size_t i = 0; i < sizeof(running->counts) / sizeof(running->counts[0]); i++) {
            running->counts[i] += strcmp(running->backends[i]->name, metadata->backend) == 0;
        }
    }
    metadata_free(metadata);
    return 0;
}

static int print_running(const struct config *config, struct buffer *out, struct error *err)
{
    struct running running = {.config = config,
                              .backends = {&backend_local, &backend_docker, &backend_ecs}};
    if (metadata_directory_each(config->metadata_directory, count_job, &running, err) < 0) {
        return -1;
    }
    int result = buffer_printf(out,
                               "# HELP berth_build_info The version of berth-driver.\n"
                               "# TYPE berth_build_info gauge\n"
                               "berth_build_info{version=\"%s\"} 1\n"
                               "# HELP berth_jobs_running Jobs whose task has not been removed.\n"
                               "# TYPE berth_jobs_running gauge\n",
                               BERTH_VERSION);
    for (size_t i = 0; i < sizeof(running.counts) / sizeof(running.counts[0]) && result == 0; i++) {
        result = buffer_printf(out, "berth_jobs_running{backend=\"%s\"} %d\n",
                               running.backends[i]->name, running.counts[i]);
    }
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot print the metrics") : 0;
}

static int print_totals(const struct config *config, struct buffer *out, struct error *err)
{
    char path[PATH_MAX];
    struct history_store store;
    cJSON *totals = NULL;
    int found = history_open(&store, config, false, path, sizeof(path), err);
    if (found < 0) {
        return -1;
    }
    if (found == 1) {
        bool damaged = false;
        totals = history_totals_load(&store, &damaged, err);
        history_close(&store);
        if (damaged) {
            log_warn("'%s/" HISTORY_TOTALS "' is damaged: these counters are those of the history, "
                     "and fall if it has dropped jobs",
                     path);
        }
        if (totals == NULL) {
            return -1;
        }
    }
    int result = history_totals_print(totals, config->history.projects, out);
    cJSON_Delete(totals);
    return result < 0 ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot print the metrics") : 0;
}

int command_metrics(struct command_context *context, struct result *out_result, struct error *err)
{
    struct buffer text;
    buffer_init(&text, HISTORY_METRICS_BYTES);
    int result = print_running(context->config, &text, err);
    if (result == 0) {
        result = print_totals(context->config, &text, err);
    }
    if (result == 0) {
        result = output_file_write(context->options->output, METRICS_MODE, &text, err);
    }
    buffer_done(&text);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
