/* SPDX-License-Identifier: MIT */
#include "driver/aws/search.h"

#include "driver/aws/sources.h"

/* The order of botocore. A profile set in the configuration takes precedence over keys in the
 * environment. */
static int search_all(struct aws_search *search, struct error *err)
{
    const char *profile = aws_profiles_chosen(search->profiles);
    bool environment = search->client->options.profile == NULL;
    int found = environment ? aws_source_environment(search, err) : 0;
    found = found != 0 ? found : aws_source_role(search, profile, err);
    found = found != 0 ? found : aws_source_web_identity(search, profile, environment, err);
    found = found != 0 ? found : aws_source_keys(search, AWS_CREDENTIALS_FILE, profile, err);
    found = found != 0 ? found : aws_source_process(search, profile, err);
    found = found != 0 ? found : aws_source_keys(search, AWS_CONFIG_FILE, profile, err);
    found = found != 0 ? found : aws_source_container(search, err);
    return found != 0 ? found : aws_source_metadata(search, err);
}

int aws_credentials_find(struct aws_client *client, int64_t deadline_ms,
                         struct aws_credentials *out, struct error *err)
{
    /* Read again each time: rotated keys are written to these files. */
    struct aws_profiles *profiles = aws_profiles_load(client->options.profile, err);
    if (profiles == NULL) {
        return -1;
    }
    struct aws_search search = {
        .client = client, .profiles = profiles, .deadline_ms = deadline_ms, .out = out};
    int found = search_all(&search, err);
    const char *profile = aws_profiles_chosen(profiles);
    if (found == 0) {
        bool sso = aws_profile_get(profiles, profile, "sso_session") != NULL ||
                   aws_profile_get(profiles, profile, "sso_start_url") != NULL;
        (void)error_set(err, ERROR_USAGE, 0,
                        sso ? "profile '%s' uses IAM Identity Center, which needs an interactive "
                              "login"
                            : "no AWS credentials in the environment, profile '%s', container or "
                              "instance metadata",
                        profile);
        (void)error_hint(err, sso ? "give the runner host a role instead"
                                  : "give the runner host a role, or set [AWS] Profile");
    }
    aws_profiles_free(profiles);
    return found == 1 ? 0 : -1;
}
