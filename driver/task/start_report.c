/* SPDX-License-Identifier: MIT */
#include "driver/task/start_report.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "driver/base/json.h"
#include "driver/base/time_text.h"

#define MEGABYTE 1000000
/* From here on AWS recommends to load an image lazily (ECS Developer Guide, "Linux container image
 * pull behavior on Fargate"). */
#define LAZY_BYTES (250LL * MEGABYTE)
#define ADVICE_MS  3000 /* a shorter download gets no advice */
#define OTHER_MS   100  /* from here on the line has what is in no part */

/* From one moment to another, or -1 if one is not known or they are the wrong way round. */
static int64_t between(int64_t from_ms, int64_t to_ms)
{
    return from_ms <= 0 || to_ms <= 0 || to_ms < from_ms ? -1 : to_ms - from_ms;
}

static int64_t moment(const cJSON *object, const char *name)
{
    const char *text = json_text_at(object, name);
    int64_t ms = 0;
    return text == NULL || time_text_parse_ms(text, &ms) < 0 ? 0 : ms;
}

/* When the container with this name was started. */
static int64_t start_of(const cJSON *task, const char *container)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(task, "Containers"))
    {
        const char *name = json_text_at(entry, "Name");
        if (name != NULL && strcmp(name, container) == 0) {
            return moment(entry, "StartedAt");
        }
    }
    return 0;
}

void start_report_init(struct backend_start *start)
{
    *start = (struct backend_start){
        .begun_ms = clock_now_ms(), .placed_ms = -1, .pulled_ms = -1, .started_ms = -1};
}

static void set(int64_t *field, int64_t ms)
{
    *field = ms < 0 ? *field : ms;
}

void start_report_read(const char *document, const char *container, struct backend_start *start)
{
    cJSON *task = cJSON_Parse(document);
    int64_t pull_ms = moment(task, "PullStartedAt");
    int64_t pulled_ms = moment(task, "PullStoppedAt");
    set(&start->placed_ms, between(start->accepted_at_ms, pull_ms));
    set(&start->pulled_ms, between(pull_ms, pulled_ms));
    set(&start->started_ms, between(pulled_ms, start_of(task, container)));
    cJSON_Delete(task);
}

static int64_t megabytes(int64_t bytes)
{
    return (bytes + MEGABYTE - 1) / MEGABYTE;
}

static int64_t known(int64_t ms)
{
    return ms < 0 ? 0 : ms;
}

static void add(struct buffer *out, const char *what, int64_t ms)
{
    int result =
        ms < 0 ? buffer_printf(out, ", %s -", what)
               : buffer_printf(out, ms < 1000 ? ", %s %.2f" : ", %s %.1f", what, (double)ms / 1000);
    (void)result; /* the ceiling: the rest of the line is left out */
}

bool start_report_advice(const struct backend_start *start, char out[START_REPORT_BYTES])
{
    out[0] = '\0';
    if (start->pulled_ms >= 0 && start->pulled_ms < ADVICE_MS) {
        return false; /* there is little to gain */
    }
    if (start->from_hub) {
        (void)snprintf(out, START_REPORT_BYTES,
                       "advice: the image is pulled from Docker Hub; [Fargate] ImageRewrite can "
                       "name a pull-through cache in ECR");
    } else if (start->image_region[0] != '\0') {
        (void)snprintf(out, START_REPORT_BYTES,
                       "advice: the image is pulled from %s, and the task is in %s; [Fargate] "
                       "ImageRewrite can name a pull-through cache or a copy there",
                       start->image_region, start->task_region);
    } else if (start->lacks_soci_index && start->image_bytes > LAZY_BYTES) {
        (void)snprintf(out, START_REPORT_BYTES,
                       "advice: the image has %" PRId64 " MB and no SOCI index (version 2), with "
                       "which Fargate starts it before it is pulled; 'soci convert' makes one",
                       megabytes(start->image_bytes));
    }
    return out[0] != '\0';
}

void start_report_text(const struct backend_start *start, int64_t total_ms,
                       char out[START_REPORT_BYTES])
{
    cleanup_buffer struct buffer parts;
    char image[64] = "image pulled in";
    int64_t other_ms = total_ms - start->queued_ms - known(start->placed_ms) -
                       known(start->pulled_ms) - start->created_ms - known(start->started_ms) -
                       start->login_ms - start->services_ms;
    buffer_init(&parts, START_REPORT_BYTES);
    if (start->image_bytes > 0) {
        (void)snprintf(image, sizeof(image), "image %" PRId64 " MB pulled in",
                       megabytes(start->image_bytes));
    }
    if (!start->by_driver) {
        add(&parts, "queued", start->queued_ms);
        add(&parts, "placed", start->placed_ms);
    }
    if (!start->by_driver || start->pulled_ms >= 0) {
        add(&parts, image, start->pulled_ms);
    }
    if (start->created_ms > 0) {
        add(&parts, "container create", start->created_ms);
    }
    add(&parts, "container start", start->started_ms);
    add(&parts, "login", start->login_ms);
    if (start->services_ms > 0) {
        add(&parts, "services", start->services_ms);
    }
    if (other_ms >= OTHER_MS) {
        add(&parts, "other", other_ms);
    }
    (void)snprintf(out, START_REPORT_BYTES, "task ready after %.*f s: %s", total_ms < 1000 ? 2 : 1,
                   (double)total_ms / 1000, parts.bytes == NULL ? "" : parts.bytes + 2);
}
