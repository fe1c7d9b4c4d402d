/* SPDX-License-Identifier: MIT */
#include "driver/aws/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define CONNECT_MS 5000

const char *aws_environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

int64_t aws_client_now_s(const struct aws_client *client)
{
    return (int64_t)time(NULL) + client->skew_s;
}

const char *aws_client_region(const struct aws_client *client)
{
    return client->region;
}

static const char *find_region(const struct aws_client *client)
{
    const char *found[] = {
        client->config->fargate.region,
        aws_environment("AWS_REGION"),
        aws_environment("AWS_DEFAULT_REGION"),
    };
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        if (found[i] != NULL) {
            return found[i];
        }
    }
    return NULL;
}

static int set_region(struct aws_client *client, struct error *err)
{
    const char *region = find_region(client);
    if (region == NULL) {
        return error_set(err, ERROR_USAGE, 0, "no AWS region; set [Fargate] Region or AWS_REGION");
    }
    /* It becomes part of a host name. */
    if (!aws_region_is_valid(region)) {
        return error_set(err, ERROR_USAGE, 0,
                         "'%.80s' is no AWS region; set one such as 'eu-west-1'", region);
    }
    (void)snprintf(client->region, sizeof(client->region), "%s", region);
    return 0;
}

struct aws_client *aws_client_new(const struct config *config, struct signals *signals,
                                  struct error *err)
{
    struct aws_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot prepare calls of AWS");
        return NULL;
    }
    client->config = config;
    client->signals = signals;
    struct http_options options = {
        .ca_file = aws_environment("AWS_CA_BUNDLE"),
        .connect_ms = CONNECT_MS,
    };
    if (set_region(client, err) < 0 || (client->http = http_new(&options, err)) == NULL) {
        aws_client_free(client);
        return NULL;
    }
    return client;
}

void aws_client_free(struct aws_client *client)
{
    if (client == NULL) {
        return;
    }
    aws_credentials_done(&client->credentials);
    http_free(client->http);
    free(client);
}

/* A configured address; NULL: none. */
static const char *configured_endpoint(const struct aws_service_row *row)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "AWS_ENDPOINT_URL_%s", row->label);
    const char *ignore = aws_environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if (ignore != NULL && strcasecmp(ignore, "true") == 0) {
        return NULL;
    }
    const char *url = aws_environment(name);
    return url != NULL ? url : aws_environment("AWS_ENDPOINT_URL");
}

int aws_client_endpoint(const struct aws_client *client, enum aws_service service,
                        struct aws_endpoint *out, struct error *err)
{
    struct aws_endpoint_choice choice = {
        .region = client->region, .fips = client->fips, .dualstack = client->dualstack};
    const char *url = configured_endpoint(aws_service_row(service));
    aws_endpoint(service, &choice, out);
    if (url == NULL) {
        return 0;
    }
    bool known = strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0;
    if (!known || strlen(url) >= sizeof(out->url)) {
        return error_set(err, ERROR_USAGE, 0,
                         "'%.100s' is no address of %s; set AWS_ENDPOINT_URL to 'https://HOST'",
                         url, aws_service_row(service)->label);
    }
    (void)snprintf(out->url, sizeof(out->url), "%s", url);
    return 0;
}
