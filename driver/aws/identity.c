/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <string.h>

#include "driver/aws/client.h"

/* What the sources of credentials (sources.h) are chosen and distinguished by. Not what differs
 * between tasks or sessions of one identity, such as the path of a container's credentials. */
static const char *const variables[] = {
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECS",
};

static const char *const settings[] = {
    "role_arn",          "aws_access_key_id",  "source_profile",
    "credential_source", "credential_process", "endpoint_url",
};

static void add(crypto_generichash_state *state, const char *text)
{
    text = text == NULL ? "" : text;
    (void)crypto_generichash_update(state, (const unsigned char *)text, strlen(text) + 1);
}

void aws_client_identity(const struct aws_client *client, char out[AWS_IDENTITY_BYTES])
{
    unsigned char hash[AWS_IDENTITY_BYTES / 2];
    crypto_generichash_state state;
    const char *profile = aws_profiles_chosen(client->profiles);
    (void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    add(&state, profile);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        add(&state, aws_environment(variables[i]));
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        add(&state, aws_profile_get(client->profiles, profile, settings[i]));
    }
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    (void)sodium_bin2hex(out, AWS_IDENTITY_BYTES, hash, sizeof(hash));
}

void aws_client_scope(const struct aws_client *client, char out[AWS_SCOPE_BYTES])
{
    /* These logins of one account may differ in what they are allowed. */
    static const char *const logins[] = {
        "HOME",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    };
    unsigned char hash[AWS_SCOPE_BYTES / 2];
    char identity[AWS_IDENTITY_BYTES];
    crypto_generichash_state state;
    struct aws_endpoint endpoint;
    struct error err;
    out[0] = '\0';
    if (aws_client_endpoint(client, AWS_SERVICE_ECS, NULL, &endpoint, &err) < 0) {
        return;
    }
    aws_client_identity(client, identity);
    (void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    add(&state, identity);
    add(&state, endpoint.url);
    add(&state, endpoint.region);
    for (size_t i = 0; i < client->options.session_tag_count; i++) {
        add(&state, client->options.session_tags[i]);
    }
    add(&state, NULL);
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        add(&state, aws_environment(logins[i]));
    }
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    (void)sodium_bin2hex(out, AWS_SCOPE_BYTES, hash, sizeof(hash));
}
