/* SPDX-License-Identifier: MIT */
#include "driver/task/start_report.h"

#include "tests/unit/driver/rows.h"

#define CREATED_MS 1790000000000 /* 2026-09-21T14:13:20Z */

static const struct {
    const char *name, *document;
    struct backend_start before;
    int64_t total_ms;
    const char *text;
} rows[] = {
    {"all of it",
     "{\"PullStartedAt\": \"2026-09-21T14:13:26.100Z\", \"PullStoppedAt\": "
     "\"2026-09-21T14:13:53.500123456Z\", \"Containers\": [{\"Name\": \"berth-helper\", "
     "\"StartedAt\": \"2026-09-21T14:13:54Z\"}, {\"Name\": \"ci\", \"StartedAt\": "
     "\"2026-09-21T14:14:00.7Z\"}]}",
     {.placed_ms = -1,
      .pulled_ms = -1,
      .started_ms = -1,
      .queued_ms = 1250,
      .login_ms = 90,
      .services_ms = 2100,
      .image_bytes = 411500000,
      .accepted_at_ms = CREATED_MS},
     45000,
     "task ready after 45.0 s: queued 1.2, placed 6.1, image 412 MB pulled in 27.4, container "
     "start "
     "7.2, login 0.09, services 2.1, other 0.86"},
    {"no times of ECS",
     "",
     {.placed_ms = -1,
      .pulled_ms = -1,
      .started_ms = -1,
      .login_ms = 90,
      .accepted_at_ms = CREATED_MS},
     41200,
     "task ready after 41.2 s: queued 0.00, placed -, image pulled in -, container start -, login "
     "0.09, other 41.1"},
    {"of the last look",
     "nonsense",
     {.placed_ms = 6100,
      .pulled_ms = -1,
      .started_ms = -1,
      .queued_ms = 12000,
      .login_ms = 80,
      .accepted_at_ms = CREATED_MS},
     41200,
     "task ready after 41.2 s: queued 12.0, placed 6.1, image pulled in -, container start -, "
     "login "
     "0.08, other 23.0"},
    {"moments the wrong way round",
     "{\"PullStartedAt\": \"2026-09-21T14:13:19Z\", \"PullStoppedAt\": "
     "\"2026-09-21T14:13:18Z\", \"Containers\": 7}",
     {.placed_ms = -1, .pulled_ms = -1, .started_ms = -1, .accepted_at_ms = CREATED_MS},
     900,
     "task ready after 0.90 s: queued 0.00, placed -, image pulled in -, container start -, login "
     "0.00, other 0.90"},
    {"more than the whole",
     "[]",
     {.placed_ms = -1, .pulled_ms = 5000, .started_ms = 2000},
     6000,
     "task ready after 6.0 s: queued 0.00, placed -, image pulled in 5.0, container start 2.0, "
     "login 0.00"},
    {"a container",
     "",
     {.placed_ms = -1,
      .pulled_ms = 12100,
      .created_ms = 170,
      .started_ms = 250,
      .login_ms = 50,
      .by_driver = true},
     12620,
     "task ready after 12.6 s: image pulled in 12.1, container create 0.17, container start 0.25, "
     "login 0.05"},
    {"a container with a slow service",
     "",
     {.placed_ms = -1,
      .pulled_ms = 10,
      .created_ms = 170,
      .started_ms = 250,
      .login_ms = 50,
      .services_ms = 8000,
      .by_driver = true},
     8600,
     "task ready after 8.6 s: image pulled in 0.01, container create 0.17, container start 0.25, "
     "login 0.05, services 8.0, other 0.12"},
    {"a process",
     "",
     {.placed_ms = -1, .pulled_ms = -1, .started_ms = 20, .login_ms = 30, .by_driver = true},
     50,
     "task ready after 0.05 s: container start 0.02, login 0.03"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct backend_start start = rows[i].before;
        char text[START_REPORT_BYTES];
        print_message("%s\n", rows[i].name);
        start_report_read(rows[i].document, "ci", &start);
        start_report_text(&start, rows[i].total_ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_advice(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct backend_start start;
        const char *begin; /* NULL: no advice */
    } cases[] = {
        {"nothing known", {.pulled_ms = -1}, NULL},
        {"Docker Hub",
         {.pulled_ms = 4000, .from_hub = true},
         "advice: the image is pulled from Docker Hub; [Fargate] ImageRewrite"},
        {"Docker Hub, no times", {.pulled_ms = -1, .from_hub = true}, "advice: the image is "},
        {"Docker Hub, a small image", {.pulled_ms = 2999, .from_hub = true}, NULL},
        {"another region",
         {.pulled_ms = 4000, .image_region = "eu-west-1", .task_region = "eu-central-1"},
         "advice: the image is pulled from eu-west-1, and the task is in eu-central-1; [Fargate] "},
        {"another region and no index",
         {.pulled_ms = 4000,
          .image_bytes = 900000000,
          .lacks_soci_index = true,
          .image_region = "eu-west-1",
          .task_region = "eu-central-1"},
         "advice: the image is pulled from eu-west-1"},
        {"no index",
         {.pulled_ms = 4000, .image_bytes = 250000001, .lacks_soci_index = true},
         "advice: the image has 251 MB and no SOCI index (version 2), with which Fargate "},
        {"no index, as large as that",
         {.pulled_ms = 4000, .image_bytes = 250000000, .lacks_soci_index = true},
         NULL},
        {"large, but nothing known of an index",
         {.pulled_ms = 60000, .image_bytes = 900000000},
         NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(cases); i++) {
        char text[START_REPORT_BYTES];
        bool found = start_report_advice(&cases[i].start, text);
        const char *begin = cases[i].begin;
        if (found != (begin != NULL) || (found && strncmp(text, begin, strlen(begin)) != 0)) {
            fail_msg("%s: '%s'", cases[i].name, text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_advice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
