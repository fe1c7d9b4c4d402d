/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "driver/command.h"
#include "driver/listed.h"

#define LIST_MS 60000

struct printing {
    const struct config *config;
    size_t count;
    double hourly;
};

static void print_heading(void)
{
    (void)printf("%-32s %-8s %-14s %-18s %-10s %s\n", "JOB", "AGE", "STATE", "SIZE", "COST",
                 "TASK");
}

static int print_entry(void *context, const struct backend_listed *listed, struct error *err)
{
    struct printing *printing = context;
    char age[24];
    char cost[32];
    int64_t now_s = (int64_t)time(NULL);
    (void)err;
    if (printing->count++ == 0) {
        print_heading();
    }
    listed_age(listed, now_s, age, sizeof(age));
    listed_cost(listed, &printing->config->price, now_s, cost, sizeof(cost));
    (void)printf("%-32s %-8s %-14s %-18s %-10s %s%s%s\n",
                 listed->job[0] != '\0' ? listed->job : "-", age, listed->state,
                 listed->size[0] != '\0' ? listed->size : "-", cost, listed->id,
                 listed->url[0] != '\0' ? " " : "", listed->url);
    return 0;
}

int command_ps(struct command_context *context, struct result *out_result, struct error *err)
{
    struct printing printing = {.config = context->config};
    if (context->argc != 0) {
        return error_set(err, ERROR_USAGE, 0, "'ps' takes no words");
    }
    const struct backend *backend = backend_choose(context->config, err);
    if (backend == NULL || backend->check(context->config, err) < 0) {
        return -1;
    }
    if (backend->list != NULL && backend->list(context->config, print_entry, &printing,
                                               clock_deadline_ms(LIST_MS), err) < 0) {
        return error_wrap(err, "cannot list the tasks");
    }
    if (printing.count == 0) {
        (void)fprintf(stderr, "no task of this runner on the backend '%s'\n", backend->name);
    }
    *out_result = (struct result){.kind = RESULT_SUCCESS};
    return 0;
}
