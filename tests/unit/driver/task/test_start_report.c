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
      .image_bytes = 411500000,
      .created_ms = CREATED_MS},
     41200,
     "task ready after 41.2 s: placed 6.1, image 412 MB pulled in 27.4, container start 7.2, login "
     "0.50"},
    {"no times of ECS",
     "",
     {.placed_ms = -1, .pulled_ms = -1, .started_ms = -1, .created_ms = CREATED_MS},
     41200,
     "task ready after 41.2 s: placed -, image pulled in -, container start -, login -"},
    {"of the last look",
     "nonsense",
     {.placed_ms = 6100, .pulled_ms = -1, .started_ms = -1, .created_ms = CREATED_MS},
     41200,
     "task ready after 41.2 s: placed 6.1, image pulled in -, container start -, login 35.1"},
    {"moments the wrong way round",
     "{\"PullStartedAt\": \"2026-09-21T14:13:19Z\", \"PullStoppedAt\": "
     "\"2026-09-21T14:13:18Z\", \"Containers\": 7}",
     {.placed_ms = -1, .pulled_ms = -1, .started_ms = -1, .created_ms = CREATED_MS},
     900,
     "task ready after 0.90 s: placed -, image pulled in -, container start -, login -"},
    {"more than the whole",
     "[]",
     {.placed_ms = -1, .pulled_ms = 5000, .started_ms = 2000, .created_ms = 0},
     6000,
     "task ready after 6.0 s: placed -, image pulled in 5.0, container start 2.0, login -"},
    {"a container",
     "",
     {.placed_ms = -1, .pulled_ms = 12100, .started_ms = 420, .by_driver = true},
     12570,
     "task ready after 12.6 s: image pulled in 12.1, container start 0.42, login 0.05"},
    {"a process",
     "",
     {.placed_ms = -1, .pulled_ms = -1, .started_ms = 20, .by_driver = true},
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
