/* SPDX-License-Identifier: MIT */
/*
 * aws-probe - the AWS client alone, for the black-box tests.
 *
 *   aws-probe CONFIG DEADLINE_MS endpoint SERVICE [REGION]  the address and region it would call
 *   aws-probe CONFIG DEADLINE_MS credentials           what it would sign with: test keys only
 *   aws-probe CONFIG DEADLINE_MS ecs OPERATION JSON [REPEAT]
 *   aws-probe CONFIG DEADLINE_MS ecr OPERATION JSON REGION
 *   aws-probe CONFIG DEADLINE_MS ec2|sts|iam OPERATION [NAME VALUE]...
 *
 * CONFIG is a TOML file or "-". One line of JSON per call on stdout, log lines (debug) on stderr.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/aws/client.h"
#include "driver/aws/search.h"
#include "driver/backend/ecs/client.h"
#include "driver/config/config_load.h"
#include "driver/record/keys.h"

static void print(cJSON *line)
{
    char *text = cJSON_PrintUnformatted(line);
    (void)printf("%s\n", text);
    (void)fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(line);
}

static void print_outcome(int result, cJSON *answer, const struct aws_failure *failure,
                          const struct error *err, int64_t took_ms)
{
    cJSON *line = cJSON_CreateObject();
    char text[ERROR_TEXT_BYTES];
    (void)cJSON_AddBoolToObject(line, "ok", result == 0);
    (void)cJSON_AddNumberToObject(line, "took_ms", (double)took_ms);
    if (result == 0) {
        (void)cJSON_AddItemToObject(line, "answer", answer);
    } else {
        (void)cJSON_AddStringToObject(line, "message", error_text(err, text));
        (void)cJSON_AddNumberToObject(line, "kind", err->kind);
        (void)cJSON_AddNumberToObject(line, "status", failure->status);
        (void)cJSON_AddStringToObject(line, "code", failure->code);
        (void)cJSON_AddBoolToObject(line, "maybe_done", failure->maybe_done);
        (void)cJSON_AddBoolToObject(line, "permanent", failure->permanent);
    }
    print(line);
}

static enum aws_service service_named(const char *name)
{
    for (int i = 0; i < AWS_SERVICE_COUNT; i++) {
        if (strcmp(aws_service_row((enum aws_service)i)->name, name) == 0) {
            return (enum aws_service)i;
        }
    }
    (void)fprintf(stderr, "unknown service: %s\n", name);
    exit(2);
}

static int show_endpoint(struct aws_client *client, const char *service, const char *region,
                         struct error *err)
{
    struct aws_endpoint endpoint;
    if (aws_client_endpoint(client, service_named(service), region, &endpoint, err) < 0) {
        return -1;
    }
    cJSON *line = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(line, "url", endpoint.url);
    (void)cJSON_AddStringToObject(line, "signing_region", endpoint.region);
    (void)cJSON_AddStringToObject(line, "region", aws_client_region(client));
    print(line);
    return 0;
}

static int show_credentials(struct aws_client *client, int64_t deadline_ms, struct error *err)
{
    struct aws_credentials found = {0};
    int64_t from_ms = clock_now_ms();
    if (aws_credentials_find(client, deadline_ms, &found, err) < 0) {
        return -1;
    }
    cJSON *line = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(line, "key_id", found.key_id);
    (void)cJSON_AddStringToObject(line, "secret", found.secret);
    (void)cJSON_AddStringToObject(line, "token", found.token == NULL ? "" : found.token);
    (void)cJSON_AddNumberToObject(line, "expires_s", (double)found.expires_s);
    (void)cJSON_AddStringToObject(line, "source", found.source);
    (void)cJSON_AddNumberToObject(line, "took_ms", (double)(clock_now_ms() - from_ms));
    print(line);
    aws_credentials_done(&found);
    return 0;
}

static void call(struct aws_client *client, char **words, int64_t budget_ms)
{
    enum aws_service service = service_named(words[0]);
    struct aws_failure failure = {0};
    struct error err = {0};
    cJSON *answer = NULL;
    int result = -1;
    int64_t from_ms = clock_now_ms();
    if (service == AWS_SERVICE_ECS) {
        cJSON *request = cJSON_Parse(words[2]);
        result = aws_ecs(client, words[1], request, clock_deadline_ms(budget_ms), &answer, &failure,
                         &err);
        cJSON_Delete(request);
    } else if (service == AWS_SERVICE_ECR) {
        cJSON *request = cJSON_Parse(words[2]);
        result = aws_ecr(client, words[3], words[1], request, clock_deadline_ms(budget_ms), &answer,
                         &failure, &err);
        cJSON_Delete(request);
    } else {
        result = aws_query(client, (enum aws_query_service)service, words[1],
                           (const char *const *)(words + 2), clock_deadline_ms(budget_ms), &answer,
                           &failure, &err);
    }
    print_outcome(result, answer, &failure, &err, clock_now_ms() - from_ms);
}

static int act(struct aws_client *client, char **words, int64_t budget_ms, struct error *err)
{
    if (strcmp(words[0], "endpoint") == 0) {
        return show_endpoint(client, words[1], words[2], err);
    }
    if (strcmp(words[0], "credentials") == 0) {
        return show_credentials(client, clock_deadline_ms(budget_ms), err);
    }
    int64_t repeat = 1;
    bool ecs = strcmp(words[0], "ecs") == 0;
    if (ecs && words[3] != NULL && parse_integer(words[3], 1, 100000, &repeat) < 0) {
        return error_set(err, ERROR_USAGE, 0, "not a number");
    }
    for (int64_t i = 0; i < repeat; i++) {
        call(client, words, budget_ms);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct config config = {0};
    struct config_options options = {0};
    struct signals signals = {.fd = -1};
    struct error err = {0};
    struct aws_client *client = NULL;
    int64_t budget_ms = 0;
    if (argc < 4 || parse_integer(argv[2], 1, 600000, &budget_ms) < 0) {
        (void)fprintf(stderr, "Usage: aws-probe CONFIG DEADLINE_MS endpoint|credentials|...\n");
        return 2;
    }
    options.path = strcmp(argv[1], "-") == 0 ? NULL : argv[1];
    log_open("aws-probe", LOG_DEBUG, LOG_TEXT, STDERR_FILENO);
    int result = -1;
    signals_block();
    if (keys_init(&err) == 0 && signals_open(&signals, &err) == 0 &&
        config_load(&config, &options, &err) == 0 &&
        (client = ecs_client_new(&config, &signals, &err)) != NULL) {
        result = act(client, argv + 3, budget_ms, &err);
    }
    if (result < 0) {
        print_outcome(result, NULL, &(struct aws_failure){0}, &err, 0);
    }
    aws_client_free(client);
    config_done(&config);
    signals_done(&signals);
    return result < 0 ? 1 : 0;
}
