/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/init/init.h"
#include "driver/json.h"

#define CALL_MS      8000
#define OFFER_LISTED 20

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
        if (name == NULL || count == OFFER_LISTED) {
            continue;
        }
        if (buffer_printf(out, "%s%s", count > 0 ? ", " : "", short_name(name)) == 0) {
            count++;
        }
    }
    return count;
}

static cJSON *ask_ecs(struct init *init, const char *operation, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    bool ok = true;
    cJSON *request = cJSON_CreateObject();
    json_number(request, "maxResults", OFFER_LISTED, &ok);
    if (!ok || aws_ecs(init->client, operation, request, clock_deadline_ms(CALL_MS), &answer,
                       &failure, err) < 0) {
        answer = NULL;
    }
    cJSON_Delete(request);
    return answer;
}

static cJSON *ask_ec2(struct init *init, const char *operation, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    return aws_query(init->client, AWS_EC2, operation, NULL, clock_deadline_ms(CALL_MS), &answer,
                     &failure, err) < 0
               ? NULL
               : answer;
}

static const struct {
    cJSON *(*ask)(struct init *init, const char *operation, struct error *err);
    const char *operation, *list, *field;
} offers[] = {
    [INIT_CLUSTERS] = {ask_ecs, "ListClusters", "clusterArns", NULL},
    [INIT_FAMILIES] = {ask_ecs, "ListTaskDefinitionFamilies", "families", NULL},
    [INIT_SUBNETS] = {ask_ec2, "DescribeSubnets", "subnetSet", "subnetId"},
    [INIT_GROUPS] = {ask_ec2, "DescribeSecurityGroups", "securityGroupInfo", "groupId"},
};

static int open_client(struct init *init, struct error *err)
{
    if (init->client == NULL) {
        init->aws_config = *init->config;
        /* Only read by the client, which is freed before the answers. */
        init->aws_config.fargate.region = (char *)(size_t)init_answer(init, "Region");
        init->client = aws_client_new(&init->aws_config, init->signals, err);
    }
    return init->client == NULL ? -1 : 0;
}

size_t init_offer(struct init *init, enum init_offer offer, struct buffer *out)
{
    struct error err = {0};
    size_t count = 0;
    if (offer == INIT_NONE || init->aws_refused) {
        return 0;
    }
    cJSON *answer =
        open_client(init, &err) < 0 ? NULL : offers[offer].ask(init, offers[offer].operation, &err);
    if (answer == NULL) {
        (void)fprintf(stderr, "  (AWS cannot be asked what there is: %s)\n", err.message);
        init->aws_refused = true;
        return 0;
    }
    count = add_names(json_at(answer, offers[offer].list), offers[offer].field, out);
    cJSON_Delete(answer);
    return count;
}

void init_done(struct init *init)
{
    aws_client_free(init->client);
    init->client = NULL;
}
