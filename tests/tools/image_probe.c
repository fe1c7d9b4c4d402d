/* SPDX-License-Identifier: MIT */
/*
 * image-probe - image_choose() alone, for the black-box tests.
 *
 *   image-probe CONFIG ARCHITECTURE NAME [PATTERN...]
 *
 * The job is that of the environment. Without patterns the name counts as one of the configuration.
 * NAME may be several with blanks between, the images of one job. One line of JSON for each on
 * stdout, log lines (debug) on stderr.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/config/config_load.h"
#include "driver/record/keys.h"
#include "driver/registry/image_choice.h"

static cJSON *describe(const struct image_choice *choice)
{
    bool ok = true;
    char platform[IMAGE_PLATFORM_BYTES];
    cJSON *line = cJSON_CreateObject();
    json_bool(line, "ok", true, &ok);
    json_text(line, "image", choice->image, &ok);
    json_text(line, "secret", choice->secret == NULL ? "" : choice->secret, &ok);
    json_bool(line, "known", choice->known, &ok);
    if (choice->known) {
        image_platform_text(&choice->facts.platform, platform);
        json_text(line, "platform", platform, &ok);
        json_text(line, "digest", choice->facts.digest, &ok);
        json_text(line, "user", choice->facts.user, &ok);
        json_number(line, "bytes", choice->facts.compressed_bytes, &ok);
        json_bool(line, "soci", choice->facts.has_soci_index, &ok);
        (void)cJSON_AddItemToObject(line, "entrypoint",
                                    cJSON_Duplicate(choice->facts.entrypoint, true));
        (void)cJSON_AddItemToObject(line, "command", cJSON_Duplicate(choice->facts.command, true));
        cJSON *ports = json_array(line, "ports", &ok);
        for (size_t i = 0; i < choice->facts.port_count; i++) {
            (void)cJSON_AddItemToArray(ports, cJSON_CreateNumber(choice->facts.ports[i]));
        }
    }
    return line;
}

static void print(const struct image_request *request)
{
    struct error err = {0};
    struct image_choice choice;
    bool ok = true;
    char text[ERROR_TEXT_BYTES];
    int64_t from_ms = clock_now_ms();
    int result = image_choose(request, &choice, &err);
    cJSON *line = result == 0 ? describe(&choice) : cJSON_CreateObject();
    json_number(line, "took_ms", clock_now_ms() - from_ms, &ok);
    if (result == 0) {
        image_choice_done(&choice);
    } else {
        json_bool(line, "ok", false, &ok);
        json_text(line, "message", error_text(&err, text), &ok);
        json_number(line, "kind", err.kind, &ok);
        json_number(line, "errnum", err.errnum, &ok);
    }
    char *printed = cJSON_PrintUnformatted(line);
    (void)printf("%s\n", printed);
    cJSON_free(printed);
    cJSON_Delete(line);
}

int main(int argc, char **argv)
{
    struct config config;
    struct runner runner;
    struct error err = {0};
    struct signals signals = {.fd = -1};
    struct config_list patterns = {.count = 0};
    log_open("image-probe", LOG_DEBUG, LOG_TEXT, STDERR_FILENO);
    signals_block();
    if (argc < 4 || keys_init(&err) < 0 || runner_read(&runner, &err) < 0 ||
        signals_open(&signals, &err) < 0) {
        (void)fprintf(stderr, "usage: image-probe CONFIG ARCHITECTURE NAME [PATTERN...] %s\n",
                      err.message);
        return 2;
    }
    struct config_options options = {.path = argv[1]};
    if (config_load(&config, &options, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    for (int i = 4; i < argc && patterns.count < CONFIG_LIST_CEILING; i++) {
        patterns.entries[patterns.count++] = argv[i];
    }
    struct aws_options aws = {.region = config.fargate.region};
    struct aws_client *client = aws_client_new(&aws, &signals, &err);
    struct lookup_budget budget;
    lookup_budget_init(&budget);
    struct image_request request = {
        .config = &config,
        .runner = &runner,
        .patterns = argc > 4 ? &patterns : NULL,
        .architecture = argv[2],
        .aws = client,
        .signals = &signals,
        .budget = &budget,
    };
    char *rest = NULL;
    for (char *name = strtok_r(argv[3], " ", &rest); name != NULL;
         name = strtok_r(NULL, " ", &rest)) {
        request.name = name;
        print(&request);
    }
    aws_client_free(client);
    config_done(&config);
    signals_done(&signals);
    return 0;
}
