/* SPDX-License-Identifier: MIT */
#include "driver/commands/push_agent/push_agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "driver/backend/ecs/client.h"
#include "driver/base/json.h"
#include "driver/base/subprocess_output.h"
#include "driver/commands/command.h"
#include "driver/commands/doctor/policy.h"
#include "driver/registry/manifest.h"
#include "driver/registry/name.h"

#define REPOSITORY           "berth-agent"
#define OPEN_MS              (60 * 1000)
#define VERSION_MS           (10 * 1000)
#define VERSION_OUTPUT_BYTES 4096
#define LOOK_MS              5000
#define DIGEST_SHOWN         12 /* digits of the digest in the tag */

/* --- the repository --- */

/* "NAME", or with registry and account as 'docker push' takes it; account and region are otherwise
 * empty. */
static int parse_repository(const char *text, struct ecr_name *out, struct error *err)
{
    struct ecr_name ecr = {.account = ""};
    bool has_registry = ecr_name_parse(text, &ecr) == 0;
    if (!has_registry) {
        (void)snprintf(ecr.repository, sizeof(ecr.repository), "%.256s", text);
    }
    if (!ecr_repository_name_is_valid(has_registry ? ecr.repository : text) ||
        (has_registry && (ecr.is_digest || strcmp(ecr.tag, "latest") != 0))) {
        (void)error_set(err, ERROR_USAGE, 0, "'%.200s' is not a valid name of an ECR repository",
                        text);
        return error_hint(err, "use lower-case letters, digits and ._-/, without a tag");
    }
    *out = ecr;
    return 0;
}

static int open_repository(const struct ecr_name *name, struct aws_client *client,
                           struct ecr_repository *out, struct error *err)
{
    bool has_registry = name->account[0] != '\0';
    if (has_registry && strcmp(name->region, aws_client_region(client)) != 0) {
        log_warn("the repository is in '%s' and the tasks run in '%s': each task pulls it from "
                 "there",
                 name->region, aws_client_region(client));
    }
    if (ecr_repository_open(client, has_registry ? name->account : NULL,
                            has_registry ? name->region : NULL, name->repository,
                            clock_deadline_ms(OPEN_MS), out, err) < 0) {
        return -1;
    }
    log_info("repository '%s'%s", out->uri, out->is_new ? " created" : "");
    return 0;
}

/* --- the agent --- */

static int push_image(const struct ecr_repository *repository, struct signals *signals,
                      const struct agent_image *image, const char *tag, struct error *err)
{
    char label[PUSH_LABEL_BYTES];
    (void)snprintf(label, sizeof(label), "layer with the agent for %s", image->architecture);
    if (push_bytes(repository, signals, image->layer_digest, &image->layer, label, err) < 0) {
        return -1;
    }
    (void)snprintf(label, sizeof(label), "configuration for %s", image->architecture);
    return push_bytes(repository, signals, image->config_digest, &image->config, label, err) < 0
               ? -1
               : push_manifest(repository, &image->manifest, MANIFEST_OCI, image->manifest_digest,
                               tag, err);
}

static int push_all(const struct ecr_repository *repository, struct signals *signals,
                    const struct agent_images *images, char tag[PUSH_TAG_BYTES], struct error *err)
{
    bool both = images->index.length > 0;
    const char *digest = images->index_digest;
    for (size_t i = 0; i < PUSH_PROCESSORS && !both; i++) {
        if (images->processors[i].architecture != NULL) {
            digest = images->processors[i].manifest_digest;
        }
    }
    (void)snprintf(tag, PUSH_TAG_BYTES, "%s-%.*s", BERTH_VERSION, DIGEST_SHOWN,
                   digest + strlen("sha256:"));
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        const struct agent_image *image = &images->processors[i];
        if (image->architecture != NULL &&
            push_image(repository, signals, image, both ? NULL : tag, err) < 0) {
            return -1;
        }
    }
    return both ? push_manifest(repository, &images->index, MANIFEST_OCI_INDEX, digest, tag, err)
                : 0;
}

static void note_missing(const struct agent_images *images)
{
    for (size_t i = 0; i < PUSH_PROCESSORS; i++) {
        if (images->processors[i].architecture == NULL) {
            log_info("no agent for %s was found: tasks of that processor cannot use this image; "
                     "put berth-agent-%s beside this program and push again",
                     i == 0 ? "amd64" : "arm64", i == 0 ? "x86_64" : "aarch64");
        }
    }
}

/* --- the helper --- */

/* "Version:      19.4.0" of 'gitlab-runner --version', if it is installed here. */
static bool installed_version(struct signals *signals, char out[PUSH_TAG_BYTES])
{
    char program[] = "gitlab-runner";
    char option[] = "--version";
    char *const argv[] = {program, option, NULL};
    static const char label[] = "Version:";
    struct buffer printed;
    struct error err;
    buffer_init(&printed, VERSION_OUTPUT_BYTES);
    out[0] = '\0';
    if (subprocess_read_output(argv, NULL, signals, clock_deadline_ms(VERSION_MS), &printed,
                               &err) == 0 &&
        printed.length > 0) {
        const char *at = strstr(printed.bytes, label);
        at = at == NULL ? "" : at + sizeof(label) - 1;
        at += strspn(at, " \t");
        (void)snprintf(out, PUSH_TAG_BYTES, "%.*s", (int)strspn(at, "0123456789."), at);
    }
    buffer_done(&printed);
    return out[0] != '\0';
}

/* 'out': the version whose images of GitLab are copied; empty: [Helper] Image is, unless it is a
 * copy itself. */
static int choose_version(const struct command_context *context, char out[PUSH_TAG_BYTES],
                          struct error *err)
{
    const char *image = context->config->helper.image;
    out[0] = '\0';
    if (context->options->runner_version != NULL) {
        (void)snprintf(out, PUSH_TAG_BYTES, "%s", context->options->runner_version);
        return 0;
    }
    if (image != NULL || installed_version(context->signals, out)) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "--helper needs the version of GitLab Runner, which is not installed here");
    return error_hint(err, "add --runner-version N.N.N; 'gitlab-runner --version' prints it");
}

/* [Helper] Image is what an earlier call has printed: to copy the copy would keep its version. */
static int replace_copy(const struct command_context *context,
                        const struct ecr_repository *repository, char version[PUSH_TAG_BYTES],
                        struct error *err)
{
    const char *image = context->config->helper.image;
    size_t length = strlen(repository->uri);
    if (version[0] != '\0' || image == NULL || strncmp(image, repository->uri, length) != 0 ||
        (image[length] != ':' && image[length] != '@') ||
        installed_version(context->signals, version)) {
        return 0;
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "[Helper] Image '%.200s' is a copy in this repository, and GitLab Runner, "
                    "whose version a new copy would have, is not installed here",
                    image);
    return error_hint(err, "add --runner-version N.N.N; 'gitlab-runner --version' prints it");
}

/* --- the command --- */

static int push_both(const struct command_context *context, const struct agent_images *images,
                     const char *version, const struct ecr_repository *repository,
                     struct error *err)
{
    char agent_tag[PUSH_TAG_BYTES];
    char helper_tag[PUSH_TAG_BYTES];
    if (push_all(repository, context->signals, images, agent_tag, err) < 0 ||
        (context->options->helper && helper_copy(context->config, context->signals, version,
                                                 repository, helper_tag, err) < 0)) {
        return -1;
    }
    escape_print(stdout, "[Helper]\n");
    escape_print(stdout, "AgentImage = \"%s:%s\"\n", repository->uri, agent_tag);
    if (context->options->helper) {
        escape_print(stdout, "Image = \"%s:%s\"\n", repository->uri, helper_tag);
    }
    return 0;
}

/* What can be found wrong without a call of AWS comes first. */
static int push(const struct command_context *context, const struct ecr_name *name,
                struct aws_client *client, struct error *err)
{
    struct agent_images images;
    struct ecr_repository repository;
    char version[PUSH_TAG_BYTES] = "";
    int result = context->options->helper ? choose_version(context, version, err) : 0;
    if (result < 0) {
        return -1;
    }
    result = agent_images_make(context->config, &images, err);
    if (result == 0) {
        note_missing(&images);
        result = open_repository(name, client, &repository, err);
    }
    if (result == 0 && context->options->helper) {
        result = replace_copy(context, &repository, version, err);
    }
    if (result == 0) {
        result = push_both(context, &images, version[0] == '\0' ? NULL : version, &repository, err);
    }
    agent_images_done(&images);
    return result;
}

/* For credentials that may do less, or none, it is printed as well: for a new repository then. */
static int print_policy(const struct ecr_name *name, struct aws_client *client, struct error *err)
{
    struct error unknown = {0};
    bool has_registry = name->account[0] != '\0';
    int exists = ecr_repository_exists(client, has_registry ? name->account : NULL,
                                       has_registry ? name->region : NULL, name->repository,
                                       clock_deadline_ms(LOOK_MS), &unknown);
    if (exists < 0) {
        log_debug("whether the repository exists is not known: %s", unknown.message);
    }
    cJSON *policy =
        policy_make_push(has_registry ? name->region : aws_client_region(client),
                         has_registry ? name->account : "*", name->repository, exists != 1);
    char *text = policy == NULL ? NULL : cJSON_Print(policy);
    cJSON_Delete(policy);
    if (text == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot print the policy");
    }
    json_print(stdout, text, strlen(text));
    cJSON_free(text);
    return fflush(stdout) == 0 && ferror(stdout) == 0
               ? 0
               : error_set(err, ERROR_SYSTEM, errno, "cannot print the policy");
}

int command_push_agent(struct command_context *context, struct result *out_result,
                       struct error *err)
{
    struct ecr_name name = {.account = ""};
    if (context->options->runner_version != NULL && !context->options->helper) {
        return error_set(err, ERROR_OPTION, 0, "--runner-version is for --helper");
    }
    if (parse_repository(context->argc > 0 ? context->argv[0] : REPOSITORY, &name, err) < 0) {
        return -1;
    }
    struct aws_client *client = ecs_client_new(context->config, context->signals, err);
    if (client == NULL) {
        return -1;
    }
    int result = context->options->policy ? print_policy(&name, client, err)
                                          : push(context, &name, client, err);
    aws_client_free(client);
    if (result == 0) {
        *out_result = (struct result){.kind = RESULT_SUCCESS};
    }
    return result;
}
