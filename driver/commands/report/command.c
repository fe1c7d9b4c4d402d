/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/escape.h"
#include "driver/commands/command.h"
#include "driver/commands/output_file.h"
#include "driver/commands/report/report.h"

#define REPORT_BYTES   (1UL << 30)
#define REPORT_MODE    0600 /* as the history */
#define DEFAULT_AGE_MS (30LL * 24 * 3600 * 1000)

static int make(const struct command_context *context, const struct history *history,
                int64_t since_s, struct error *err)
{
    struct buffer data;
    struct buffer page;
    struct report_scope scope = {.now_s = clock_unix_s(),
                                 .since_s = since_s,
                                 .currency = context->config->price.currency,
                                 .version = BERTH_VERSION};
    buffer_init(&data, REPORT_BYTES);
    buffer_init(&page, REPORT_BYTES);
    int result = report_data(history, &scope, &data) < 0 || report_page(&data, &page) < 0
                     ? error_set(err, ERROR_SYSTEM, ENOMEM, "cannot make the report")
                     : output_file_write(context->options->output, REPORT_MODE, &page, err);
    buffer_done(&data);
    buffer_done(&page);
    return result;
}

int command_report(struct command_context *context, struct result *out_result, struct error *err)
{
    struct history history;
    int64_t age_ms = context->options->since_ms > 0 ? context->options->since_ms : DEFAULT_AGE_MS;
    int64_t since_s = clock_unix_s() - age_ms / 1000;
    if (context->options->output == NULL && isatty(STDOUT_FILENO) == 1) {
        (void)error_set(err, ERROR_USAGE, 0, "the report is a page for a browser");
        return error_hint(err, "name a file: 'report -o report.html'");
    }
    int result = history_load(&history, context->config, since_s, err);
    if (result == 0) {
        result = make(context, &history, since_s, err);
    }
    if (result == 0 && context->options->output != NULL) {
        escape_print(stderr, "%zu job%s in '%s'\n", history.count, history.count == 1 ? "" : "s",
                     context->options->output);
    }
    history_done(&history);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
