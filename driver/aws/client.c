/* SPDX-License-Identifier: MIT */
#include "driver/aws/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/parse.h"

#define CONNECT_MS        5000
#define DOWNLOAD_STALL_MS (15 * 1000)
#define DIRECT_CONNECT_MS 1000
#define ATTEMPTS          3
#define ATTEMPTS_CEILING  20

const char *aws_environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

int64_t aws_client_now_s(const struct aws_client *client)
{
    return clock_unix_s() + client->skew_s;
}

const char *aws_client_region(const struct aws_client *client)
{
    return client->region;
}

const char *aws_client_source(const struct aws_client *client)
{
    return client->credentials.source;
}

int64_t aws_client_skew_s(const struct aws_client *client)
{
    return client->skew_s;
}

/* A setting as in the SDKs: the variable, then the profile. */
static const char *setting(const struct aws_client *client, const char *variable, const char *key)
{
    const char *value = aws_environment(variable);
    return value != NULL
               ? value
               : aws_profile_get(client->profiles, aws_profiles_chosen(client->profiles), key);
}

static bool truth(const struct aws_client *client, const char *variable, const char *key)
{
    const char *value = setting(client, variable, key);
    return value != NULL && strcasecmp(value, "true") == 0;
}

static const char *find_region(const struct aws_client *client)
{
    const char *region = client->options.region;
    region = region != NULL ? region : aws_environment("AWS_REGION");
    return region != NULL ? region : setting(client, "AWS_DEFAULT_REGION", "region");
}

static int set_region(struct aws_client *client, struct error *err)
{
    const char *region = find_region(client);
    if (region == NULL) {
        (void)error_set(err, ERROR_USAGE, 0, "no AWS region");
        return error_hint(err, "set [Fargate] Region or AWS_REGION");
    }
    /* It becomes part of a host name. */
    if (!aws_region_is_valid(region)) {
        (void)error_set(err, ERROR_USAGE, 0, "'%.80s' is not a valid AWS region", region);
        return error_hint(err, "use one such as 'eu-west-1'");
    }
    (void)snprintf(client->region, sizeof(client->region), "%s", region);
    return 0;
}

static int set_attempts(struct aws_client *client, struct error *err)
{
    const char *text = setting(client, "AWS_MAX_ATTEMPTS", "max_attempts");
    int64_t attempts = ATTEMPTS;
    if (text != NULL && parse_integer(text, 1, ATTEMPTS_CEILING, &attempts) < 0) {
        return error_set(err, ERROR_USAGE, 0, "AWS_MAX_ATTEMPTS: '%.40s' is not from 1 to %d", text,
                         ATTEMPTS_CEILING);
    }
    client->attempts = (int)attempts;
    return 0;
}

static int set_up(struct aws_client *client, struct error *err)
{
    client->profiles = aws_profiles_load(client->options.profile, err);
    if (client->profiles == NULL || set_region(client, err) < 0 || set_attempts(client, err) < 0) {
        return -1;
    }
    client->fips = truth(client, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint");
    client->dualstack = truth(client, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint");
    client->ignore_endpoints =
        truth(client, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");
    const char *ca_file = setting(client, "AWS_CA_BUNDLE", "ca_bundle");
    if (ca_file != NULL && (client->ca_file = strdup(ca_file)) == NULL) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot create an AWS client");
    }
    struct http_options options = {.ca_file = client->ca_file, .connect_ms = CONNECT_MS};
    client->http = http_new(&options, err);
    return client->http == NULL ? -1 : 0;
}

struct aws_client *aws_client_new(const struct aws_options *options, struct signals *signals,
                                  struct error *err)
{
    struct aws_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot create an AWS client");
        return NULL;
    }
    client->options = *options;
    client->signals = signals;
    if (set_up(client, err) < 0) {
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
    aws_profiles_free(client->profiles);
    http_free(client->direct);
    http_free(client->http);
    free(client->ca_file);
    free(client);
}

struct http *aws_client_direct_http(struct aws_client *client, struct error *err)
{
    struct http_options options = {
        .ca_file = client->ca_file, .no_proxy = true, .connect_ms = DIRECT_CONNECT_MS};
    if (client->direct == NULL) {
        client->direct = http_new(&options, err);
    }
    return client->direct;
}

/* A configured address, in the order of botocore: the service's variable, the variable for all
 * services, the profile's [services] section, the profile. False: none. */
static bool configured_endpoint(const struct aws_client *client, const struct aws_service_row *row,
                                char *out, size_t size)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "AWS_ENDPOINT_URL_%s", row->label);
    const char *url = client->ignore_endpoints ? NULL : aws_environment(name);
    if (client->ignore_endpoints) {
        return false;
    }
    url = url != NULL ? url : aws_environment("AWS_ENDPOINT_URL");
    if (url == NULL &&
        aws_profile_service(client->profiles, row->name, "endpoint_url", out, size)) {
        return true;
    }
    url = url != NULL ? url
                      : aws_profile_get(client->profiles, aws_profiles_chosen(client->profiles),
                                        "endpoint_url");
    /* A truncated one fills the buffer, which the caller reports as not valid. */
    return url != NULL && snprintf(out, size, "%s", url) > 0;
}

int aws_client_endpoint(const struct aws_client *client, enum aws_service service,
                        const char *region, struct aws_endpoint *out, struct error *err)
{
    struct aws_endpoint_choice choice = {.region = region != NULL ? region : client->region,
                                         .fips = client->fips,
                                         .dualstack = client->dualstack};
    char url[AWS_ENDPOINT_BYTES];
    aws_endpoint(service, &choice, out);
    if (!configured_endpoint(client, aws_service_row(service), url, sizeof(url))) {
        return 0;
    }
    bool known = strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0;
    if (!known || strlen(url) == sizeof(url) - 1) {
        (void)error_set(err, ERROR_USAGE, 0, "'%.100s' is not a valid address of %s", url,
                        aws_service_row(service)->label);
        return error_hint(err, "set AWS_ENDPOINT_URL to 'https://HOST'");
    }
    (void)snprintf(out->url, sizeof(out->url), "%s", url);
    return 0;
}

int aws_download(struct aws_client *client, const char *url, int64_t deadline_ms,
                 struct buffer *out_body, struct error *err)
{
    struct http_answer answer = {.body = *out_body, .failure = HTTP_NOT_SENT};
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .deadline_ms = deadline_ms,
                                   .stall_ms = DOWNLOAD_STALL_MS,
                                   .signals = client->signals};
    int result = http_call(client->http, &request, &answer, err);
    *out_body = answer.body;
    if (result == 0 && answer.status != 200) {
        result = error_set(err, ERROR_PEER, 0, "HTTP %d instead of the file", answer.status);
    }
    return result;
}
