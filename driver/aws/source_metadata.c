/* SPDX-License-Identifier: MIT */
/* Credentials from the host: the container endpoint of ECS and EKS, and IMDSv2, the metadata
 * service of an instance. IMDSv1 is not used: forged requests of other programs could read it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/parse.h"
#include "driver/aws/sources.h"

#define METADATA_TIMEOUT_MS  1000
#define CONTAINER_TIMEOUT_MS 2000
#define ATTEMPTS             3
#define PAUSE_MS             300
#define ANSWER_CEILING_BYTES (64UL << 10)
#define TOKEN_CEILING_BYTES  (16UL << 10)
#define URL_BYTES            2048
#define CONTAINER_HOST       "http://169.254.170.2"
#define CREDENTIALS_PATH     "/latest/meta-data/iam/security-credentials/"
#define TOKEN_TTL_HEADER     "X-aws-ec2-metadata-token-ttl-seconds: 21600"

/* One request without a proxy. */
struct metadata_request {
    const char *method, *url;
    const char *header; /* may contain a token; NULL: none */
    int64_t timeout_ms;
    int attempts;         /* if the service is busy or the request was lost */
    int connect_attempts; /* if the connection fails */
};

static bool is_worth_another(const struct http_answer *answer, int result)
{
    return result < 0 ? answer->failure != HTTP_STOPPED
                      : answer->status >= 500 || answer->status == 429;
}

/* Returns the status, or -1 when there was no answer. */
static int ask(struct aws_search *search, const struct metadata_request *wanted,
               struct http_answer *answer, struct error *err)
{
    struct http *http = aws_client_direct_http(search->client, err);
    const char *headers[] = {wanted->header, NULL};
    int result = -1;
    for (int i = 0; http != NULL && i < wanted->attempts; i++) {
        struct http_request request = {
            .method = wanted->method,
            .url = wanted->url,
            .headers = headers,
            .deadline_ms =
                clock_earlier_ms(search->deadline_ms, clock_deadline_ms(wanted->timeout_ms)),
            .signals = search->client->signals,
        };
        if (i > 0 && signals_wait(search->client->signals, -1, clock_deadline_ms(PAUSE_MS)) < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        buffer_clear(&answer->body);
        result = http_call(http, &request, answer, err);
        bool refused = result < 0 && answer->failure == HTTP_NOT_SENT;
        if (!is_worth_another(answer, result) || (refused && i + 1 >= wanted->connect_attempts)) {
            break;
        }
    }
    return result < 0 ? -1 : answer->status;
}

bool aws_trusts_host_of(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                        "localhost", "[::1]"};
    if (strncasecmp(url, "https://", 8) == 0) {
        return true;
    }
    if (strncasecmp(url, "http://", 7) != 0) {
        return false;
    }
    const char *host = url + 7;
    size_t authority = strcspn(host, "/?#");
    if (memchr(host, '@', authority) != NULL || memchr(host, '\\', authority) != NULL) {
        return false; /* the host would be what follows */
    }
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strlen(hosts[i]) == length && strncasecmp(hosts[i], host, length) == 0) {
            return true;
        }
    }
    /* As in libcurl, "127.0.0.009" is not an address but a name to resolve. */
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (length >= sizeof(text)) {
        return false;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)length, host);
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static int container_url(char out[URL_BYTES], struct error *err)
{
    const char *relative = aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative == NULL && full == NULL) {
        return 0;
    }
    int length = relative != NULL ? snprintf(out, URL_BYTES, "%s%s%s", CONTAINER_HOST,
                                             relative[0] == '/' ? "" : "/", relative)
                                  : snprintf(out, URL_BYTES, "%s", full);
    if (length >= URL_BYTES || !aws_trusts_host_of(out)) {
        return error_set(err, ERROR_USAGE, 0,
                         "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor a loopback, "
                         "ECS or EKS address");
    }
    return 1;
}

/* The Authorization header, from a file or a variable. */
static int container_header(struct buffer *out, struct error *err)
{
    const char *file = aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct buffer text;
    int result = 0;
    buffer_init(&text, TOKEN_CEILING_BYTES);
    if (file != NULL) {
        result = aws_read_token_file(file, &text, err);
    } else if (token != NULL) {
        result = buffer_append_text(&text, token);
    }
    if (result == 0 && text.length > 0 && strpbrk(text.bytes, "\r\n") != NULL) {
        result = error_set(err, ERROR_USAGE, 0,
                           "the container's authorization token has more than one line");
    }
    if (result == 0 && text.length > 0) {
        result = buffer_printf(out, "Authorization: %s", text.bytes);
    }
    buffer_done(&text);
    return result;
}

int aws_source_container(struct aws_search *search, struct error *err)
{
    static const char source[] = "the container's credentials endpoint";
    char url[URL_BYTES];
    int configured = container_url(url, err);
    if (configured <= 0) {
        return configured;
    }
    struct buffer header;
    buffer_init(&header, TOKEN_CEILING_BYTES + 64);
    if (container_header(&header, err) < 0) {
        buffer_done(&header);
        return -1;
    }
    struct metadata_request wanted = {.method = "GET",
                                      .url = url,
                                      .header = header.bytes,
                                      .timeout_ms = CONTAINER_TIMEOUT_MS,
                                      .attempts = ATTEMPTS,
                                      .connect_attempts = ATTEMPTS};
    struct http_answer answer = {.failure = HTTP_NOT_SENT};
    buffer_init(&answer.body, ANSWER_CEILING_BYTES);
    int status = ask(search, &wanted, &answer, err);
    int result = -1;
    if (status == 200) {
        result = aws_source_read_json(search, answer.body.bytes, answer.body.length, "Token",
                                      source, err);
    } else if (status > 0) {
        (void)error_set(err, ERROR_SYSTEM, 0, "%s returned HTTP %d", source, status);
    } else {
        (void)error_wrap(err, "%s", source);
    }
    buffer_done(&answer.body);
    buffer_done(&header);
    return result;
}

/* The address of the metadata service. */
static void metadata_base(const struct aws_search *search, char out[URL_BYTES])
{
    const char *profile = aws_profiles_chosen(search->profiles);
    const char *url = aws_source_setting(search, profile, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                         "ec2_metadata_service_endpoint", true);
    const char *mode = aws_source_setting(search, profile, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                          "ec2_metadata_service_endpoint_mode", true);
    bool v6 = mode != NULL && strcasecmp(mode, "ipv6") == 0;
    (void)snprintf(out, URL_BYTES, "%s",
                   url != NULL ? url
                   : v6        ? "http://[fd00:ec2::254]"
                               : "http://169.254.169.254");
    size_t length = strlen(out);
    if (length > 0 && out[length - 1] == '/') {
        out[length - 1] = '\0';
    }
}

static int64_t metadata_number(const struct aws_search *search, const char *variable,
                               const char *key, int64_t otherwise)
{
    int64_t value = otherwise;
    const char *text =
        aws_source_setting(search, aws_profiles_chosen(search->profiles), variable, key, true);
    if (text != NULL && parse_integer(text, 1, 60, &value) < 0) {
        return otherwise;
    }
    return value;
}

struct instance_metadata {
    char base[URL_BYTES - 512];
    struct buffer header; /* with the session's token */
    struct http_answer answer;
    int64_t timeout_ms;
    int64_t attempts; /* 0: not configured */
};

static int get_metadata(struct aws_search *search, struct instance_metadata *metadata,
                        const char *path, struct error *err)
{
    char url[URL_BYTES];
    (void)snprintf(url, sizeof(url), "%s%s", metadata->base, path);
    struct metadata_request wanted = {.method = "GET",
                                      .url = url,
                                      .header = metadata->header.bytes,
                                      .timeout_ms = metadata->timeout_ms,
                                      .attempts = ATTEMPTS,
                                      .connect_attempts = ATTEMPTS};
    return ask(search, &wanted, &metadata->answer, err);
}

static int number_or(int64_t number, int otherwise)
{
    return number > 0 ? (int)number : otherwise;
}

/* Requests a session token. 0: there is no metadata service. A busy service is an error, so that
 * the runner may retry. */
static int get_token(struct aws_search *search, struct instance_metadata *metadata,
                     struct error *err)
{
    char url[URL_BYTES];
    (void)snprintf(url, sizeof(url), "%s/latest/api/token", metadata->base);
    struct metadata_request wanted = {.method = "PUT",
                                      .url = url,
                                      .header = TOKEN_TTL_HEADER,
                                      .timeout_ms = metadata->timeout_ms,
                                      .attempts = number_or(metadata->attempts, ATTEMPTS),
                                      .connect_attempts = number_or(metadata->attempts, 1)};
    struct error silence;
    int status = ask(search, &wanted, &metadata->answer, &silence);
    if (status < 0 && silence.errnum != EINTR && metadata->answer.failure == HTTP_NOT_SENT) {
        return 0;
    }
    if (status < 0) {
        *err = silence;
        return error_wrap(err, "the instance's metadata service");
    }
    if (status != 200 || metadata->answer.body.length == 0 ||
        strpbrk(metadata->answer.body.bytes, "\r\n") != NULL) {
        (void)error_set(err, ERROR_SYSTEM, 0,
                        "the instance's metadata service returned no session token (HTTP %d)",
                        status);
        return status >= 400 && status < 429 ? error_hint(err, "allow IMDSv2 on this instance")
                                             : -1;
    }
    return buffer_printf(&metadata->header, "X-aws-ec2-metadata-token: %s",
                         metadata->answer.body.bytes) < 0
               ? error_set(err, ERROR_LIMIT, 0, "the metadata service's token is too long")
               : 1;
}

static int read_role(struct aws_search *search, struct instance_metadata *metadata,
                     struct error *err)
{
    static const char source[] = "the instance's metadata service";
    char path[512];
    int status = get_metadata(search, metadata, CREDENTIALS_PATH, err);
    const char *name = metadata->answer.body.bytes;
    size_t length = name == NULL ? 0 : strcspn(name, "\r\n");
    if (status == 404 || (status == 200 && length == 0)) {
        (void)error_set(err, ERROR_USAGE, 0, "this instance has no role");
        return error_hint(err, "attach an instance profile with the policy in docs/fargate.md");
    }
    if (status == 200) {
        if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-") <
                length ||
            length > 128) {
            return error_set(err, ERROR_PEER, 0, "%s returned an invalid role name", source);
        }
        (void)snprintf(path, sizeof(path), CREDENTIALS_PATH "%.*s", (int)length, name);
        status = get_metadata(search, metadata, path, err);
    }
    if (status < 0) {
        return error_wrap(err, "%s", source);
    }
    if (status != 200) {
        return error_set(err, ERROR_SYSTEM, 0, "%s returned HTTP %d", source, status);
    }
    return aws_source_read_json(search, metadata->answer.body.bytes, metadata->answer.body.length,
                                "Token", source, err);
}

int aws_source_metadata(struct aws_search *search, struct error *err)
{
    const char *disabled = aws_environment("AWS_EC2_METADATA_DISABLED");
    char base[URL_BYTES];
    if (disabled != NULL && strcasecmp(disabled, "true") == 0) {
        return 0;
    }
    struct instance_metadata metadata = {
        .timeout_ms =
            1000 * metadata_number(search, "AWS_METADATA_SERVICE_TIMEOUT",
                                   "metadata_service_timeout", METADATA_TIMEOUT_MS / 1000),
        .attempts = metadata_number(search, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
                                    "metadata_service_num_attempts", 0),
    };
    metadata_base(search, base);
    (void)snprintf(metadata.base, sizeof(metadata.base), "%.*s", (int)sizeof(metadata.base) - 1,
                   base);
    buffer_init(&metadata.header, TOKEN_CEILING_BYTES);
    buffer_init(&metadata.answer.body, ANSWER_CEILING_BYTES);
    int found = get_token(search, &metadata, err);
    if (found == 1) {
        found = read_role(search, &metadata, err);
    }
    buffer_done(&metadata.answer.body);
    buffer_done(&metadata.header);
    return found;
}
