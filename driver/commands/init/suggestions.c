/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/escape.h"
#include "driver/backend/ecs/client.h"
#include "driver/base/json.h"
#include "driver/commands/init/init.h"

#define CALL_MS            8000
#define SUGGESTIONS_LISTED 20

/* The last part of an ARN. */
static const char *short_name(const char *text)
{
    const char *slash = strncmp(text, "arn:", 4) == 0 ? strrchr(text, '/') : NULL;
    return slash != NULL ? slash + 1 : text;
}

static size_t add_names(const cJSON *list, const char *field, struct buffer *out)
{
    size_t count = 0;
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list)
    {
        const char *name = field == NULL ? cJSON_GetStringValue(entry) : json_text_at(entry, field);
        if (name == NULL || count == SUGGESTIONS_LISTED) {
            continue;
        }
        if (buffer_printf(out, "%s%s", count > 0 ? ", " : "", short_name(name)) == 0) {
            count++;
        }
    }
    return count;
}

static cJSON *call_ecs(struct init_dialog *init, const char *operation, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = cJSON_CreateObject();
    json_number(request, "maxResults", SUGGESTIONS_LISTED, &ok);
    if (!ok || aws_ecs(init->client, operation, request, clock_deadline_ms(CALL_MS), &answer,
                       &failure, err) < 0) {
        answer = NULL;
    }
    cJSON_Delete(request);
    return answer;
}

static cJSON *call_ec2(struct init_dialog *init, const char *operation, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    return aws_query(init->client, AWS_EC2, operation, NULL, clock_deadline_ms(CALL_MS), &answer,
                     &failure, err) < 0
               ? NULL
               : answer;
}

static const struct {
    cJSON *(*call)(struct init_dialog *init, const char *operation, struct error *err);
    const char *operation, *list, *field;
} suggestions[] = {
    [INIT_CLUSTERS] = {call_ecs, "ListClusters", "clusterArns", NULL},
    [INIT_FAMILIES] = {call_ecs, "ListTaskDefinitionFamilies", "families", NULL},
    [INIT_SUBNETS] = {call_ec2, "DescribeSubnets", "subnetSet", "subnetId"},
    [INIT_GROUPS] = {call_ec2, "DescribeSecurityGroups", "securityGroupInfo", "groupId"},
};

static int open_client(struct init_dialog *init, struct error *err)
{
    if (init->client == NULL) {
        init->aws_config = *init->config;
        /* The client only reads it, and is freed before the answers. */
        init->aws_config.fargate.region = (char *)(size_t)init_answer(init, "Region");
        init->client = ecs_client_new(&init->aws_config, init->signals, err);
    }
    return init->client == NULL ? -1 : 0;
}

size_t init_suggest(struct init_dialog *init, enum init_source source, struct buffer *out)
{
    struct error err = {0};
    char text[ERROR_TEXT_BYTES];
    size_t count = 0;
    if (source == INIT_NONE || init->aws_refused) {
        return 0;
    }
    cJSON *answer = open_client(init, &err) < 0
                        ? NULL
                        : suggestions[source].call(init, suggestions[source].operation, &err);
    if (answer == NULL) {
        escape_print(stderr, "  (cannot list names from AWS: %s)\n", error_text(&err, text));
        init->aws_refused = true;
        return 0;
    }
    count = add_names(json_at(answer, suggestions[source].list), suggestions[source].field, out);
    cJSON_Delete(answer);
    return count;
}

void init_done(struct init_dialog *init)
{
    aws_client_free(init->client);
    init->client = NULL;
}
