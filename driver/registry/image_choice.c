/* SPDX-License-Identifier: MIT */
#include "driver/registry/image_choice.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/registry/auth.h"
#include "driver/registry/ecr_login.h"
#include "driver/registry/ecr_name.h"
#include "driver/registry/lookup.h"
#include "driver/registry/target.h"

#define ATTEMPTS 2 /* of a look-up without which the job cannot run */

struct choosing {
    const struct image_request *request;
    struct image_choice *choice;
    struct image_name written; /* by the job */
    struct image_name name;    /* of choice->image */
    bool rewritten;
    bool in_ecr;
    struct ecr_name ecr;
    struct image_platform wanted;
    struct registry_login *login; /* the job's own, or ECR's; NULL: none */
    bool must_check;              /* the secret may be used only if the registry agrees */
};

/* --- the rewrite --- */

/* "docker.io/library/node:22@sha256:..." of "node:22@sha256:...". */
static int full_name(const char *text, const struct image_name *name, char *out, size_t room)
{
    size_t registry = strlen(name->registry);
    bool written = strncmp(text, name->registry, registry) == 0 && text[registry] == '/';
    const char *path = written ? text + registry + 1 : text;
    bool hub = image_name_is_hub(name->registry, registry);
    size_t slash = strcspn(path, "/");
    bool library = hub && path[slash] == '\0';
    int length = snprintf(out, room, "%s/%s%s", hub ? DOCKER_HUB : name->registry,
                          library ? "library/" : "", path);
    return length > 0 && (size_t)length < room ? 0 : -1;
}

/* "FROM=TO": the '=' if both sides are there. */
static const char *split_entry(const char *entry)
{
    const char *equals = strchr(entry, '=');
    return equals != NULL && equals > entry && equals[1] != '\0' ? equals : NULL;
}

/* Whole components alone: "docker.io/a" is not a prefix of "docker.io/ab". */
static size_t prefix_length(const char *entry, const char *full)
{
    const char *equals = split_entry(entry);
    size_t length = equals == NULL ? 0 : (size_t)(equals - entry);
    while (length > 0 && entry[length - 1] == '/') {
        length--;
    }
    bool begins = length > 0 && strncmp(entry, full, length) == 0;
    bool has_path = memchr(entry, '/', length) != NULL; /* else ':' is before a port */
    return begins && (full[length] == '/' || (has_path && strchr(":@", full[length]) != NULL))
               ? length
               : 0;
}

static int rewrite(struct choosing *choosing, struct error *err)
{
    const struct image_request *request = choosing->request;
    const struct config_list *list = &request->config->fargate.image_rewrite;
    char full[IMAGE_CHOICE_BYTES];
    const char *best = NULL;
    size_t longest = 0;
    if (image_name_parse(request->name, &choosing->written) < 0 ||
        full_name(request->name, &choosing->written, full, sizeof(full)) < 0) {
        return error_set(err, ERROR_USAGE, 0, "'%.200s' is not a valid image name", request->name);
    }
    for (size_t i = 0; i < list->count; i++) {
        size_t length = prefix_length(list->entries[i], full);
        if (length > longest) {
            longest = length;
            best = list->entries[i];
        }
    }
    const char *to = best == NULL ? NULL : split_entry(best) + 1;
    size_t kept = to == NULL ? 0 : strlen(to);
    while (kept > 0 && to[kept - 1] == '/') {
        kept--;
    }
    int wrote = to == NULL
                    ? snprintf(choosing->choice->image, IMAGE_CHOICE_BYTES, "%s", request->name)
                    : snprintf(choosing->choice->image, IMAGE_CHOICE_BYTES, "%.*s%s", (int)kept, to,
                               full + longest);
    choosing->rewritten = to != NULL;
    if (wrote < 0 || wrote >= IMAGE_CHOICE_BYTES ||
        image_name_parse(choosing->choice->image, &choosing->name) < 0) {
        return error_set(err, ERROR_USAGE, 0,
                         "[Fargate] ImageRewrite '%.200s' makes no valid image name of '%.200s'",
                         best == NULL ? "" : best, full);
    }
    return 0;
}

/* --- what is not known --- */

static void note_unknown(const struct choosing *choosing, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note_unknown(const struct choosing *choosing, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(choosing->choice->unknown, IMAGE_CHOICE_WHY_BYTES, format, arguments);
    va_end(arguments);
}

/* Wraps the reason why the registry gave no answer that the job needs. */
static int no_answer(const struct choosing *choosing, struct error *err)
{
    (void)error_wrap(err,
                     "cannot read the entrypoint of the image '%s', without which masked variables "
                     "cannot be passed to it",
                     choosing->request->name);
    return error_hint(err, "retry the job; or set 'entrypoint', or [Fargate] "
                           "ServiceSecretsInOverrides = true");
}

/* --- hosts and logins --- */

static bool same_registry(const char *text, size_t length, const char *registry)
{
    return (image_name_is_hub(text, length) && image_name_is_hub(registry, strlen(registry))) ||
           (strlen(registry) == length && strncasecmp(text, registry, length) == 0);
}

/* The value for the registry in a list of "HOST=VALUE"; NULL: none. */
static const char *find_by_host(const struct config_list *list, const char *registry)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = split_entry(list->entries[i]);
        if (equals != NULL &&
            same_registry(list->entries[i], (size_t)(equals - list->entries[i]), registry)) {
            return equals + 1;
        }
    }
    return NULL;
}

/* Whether the pattern spells the registry out: no name of one has a wildcard. */
static bool spells_registry(const char *pattern, const char *registry)
{
    size_t length = strcspn(pattern, "/");
    return pattern[length] == '/' && same_registry(pattern, length, registry);
}

/* Whether the administrator named the registry. */
static bool may_be_asked(const struct choosing *choosing, const struct image_name *name)
{
    const struct config *config = choosing->request->config;
    const struct config_list *patterns = choosing->request->patterns;
    bool target = strcmp(name->registry, choosing->name.registry) == 0;
    if (patterns == NULL || (target && (choosing->in_ecr || choosing->rewritten)) ||
        image_name_is_hub(name->registry, strlen(name->registry)) ||
        target_is_insecure(&config->helper.insecure_registries, name->registry) ||
        find_by_host(&config->fargate.registry_secrets, name->registry) != NULL) {
        return true;
    }
    for (size_t i = 0; i < patterns->count; i++) {
        if (spells_registry(patterns->entries[i], name->registry) &&
            image_name_matches(patterns->entries[i], choosing->request->name)) {
            return true;
        }
    }
    return false;
}

/* 1 with the job's own login for the registry of 'name' in 'login', 0 without. */
static int own_login(const struct choosing *choosing, const struct image_name *name,
                     struct registry_login *login, struct error *err)
{
    cJSON *response = NULL;
    const struct runner *runner = choosing->request->runner;
    if (runner == NULL) {
        return 0;
    }
    if (runner_read_response(runner, &response, err) < 0) {
        return -1;
    }
    int result = registry_auth_own(name, response, login, err);
    json_delete_wiped(response);
    return result;
}

/* Keeps or frees 'login'. */
static int keep_login(struct choosing *choosing, struct registry_login *login, int found)
{
    sodium_free(choosing->login);
    choosing->login = found == 1 ? login : NULL;
    if (found != 1) {
        sodium_free(login);
    }
    return found < 0 ? -1 : 0;
}

static int find_login(struct choosing *choosing, struct error *err)
{
    const struct image_request *request = choosing->request;
    struct registry_login *login = registry_login_new(err);
    if (login == NULL) {
        return -1;
    }
    if (!choosing->in_ecr) {
        return keep_login(choosing, login, own_login(choosing, &choosing->name, login, err));
    }
    struct error own = {0};
    struct lookup_budget whole;
    lookup_budget_init(&whole);
    struct lookup_budget *budget = request->budget != NULL ? request->budget : &whole;
    int64_t from_ms = clock_now_ms();
    int found = request->aws != NULL && ecr_login(request->aws, choosing->ecr.region,
                                                  clock_deadline_ms(budget->ms), login, &own) == 0
                    ? 1
                    : 0;
    budget->ms -= clock_now_ms() - from_ms;
    if (own.errnum == EINTR) {
        *err = own;
        found = -1;
    } else if (found == 0 && request->is_needed && own.kind == ERROR_SYSTEM) {
        *err = own;
        found = no_answer(choosing, err);
    } else if (found == 0) {
        note_unknown(choosing, "%.250s", request->aws == NULL ? "no AWS client" : own.message);
        log_debug("image '%s' is not looked up: %s", choosing->choice->image,
                  choosing->choice->unknown);
    }
    return keep_login(choosing, login, found);
}

/* --- the look-up --- */

/* Whether the job fails without an answer. */
static bool needs_answer(const struct choosing *choosing)
{
    const struct image_request *request = choosing->request;
    return request->is_needed ||
           (choosing->must_check && !request->config->fargate.registry_secrets_shared);
}

static int ask(const struct choosing *choosing, const struct image_name *name,
               const struct registry_login *login, struct lookup *out, struct error *err)
{
    struct lookup_request request = {
        .name = name,
        .wanted = &choosing->wanted,
        .login = login,
        .config = choosing->request->config,
        .signals = choosing->request->signals,
        .budget = needs_answer(choosing) ? NULL : choosing->request->budget,
        .ask_silent = needs_answer(choosing),
    };
    int result = image_look_up(&request, out, err);
    if (result == 0 && out->verdict != LOOKUP_FOUND) {
        log_debug("look-up of '%s' at '%s': %s", choosing->choice->image, out->host, out->note);
    }
    return result;
}

static int absent(const struct choosing *choosing, const struct lookup *lookup, struct error *err)
{
    (void)error_set(err, ERROR_USAGE, 0, "image '%s' does not exist in '%s'",
                    choosing->request->name, lookup->host);
    return error_hint(err, choosing->in_ecr
                               ? "correct 'image:' or push it; if a pull-through cache fills the "
                                 "repository, name it in [Fargate] ImageRewrite"
                               : "correct 'image:', or give the job a login that may read it");
}

static int other_platform(const struct choosing *choosing, const struct lookup *lookup,
                          struct error *err)
{
    char wanted[IMAGE_PLATFORM_BYTES];
    image_platform_text(&choosing->wanted, wanted);
    (void)error_set(err, ERROR_USAGE, 0, "image '%s' is built for %s, and the task runs on %s",
                    choosing->request->name, lookup->platforms, wanted);
    return error_hint(
        err, "use an image for %s, or set 'docker: {platform: ...}' of the job's 'image:'", wanted);
}

static bool may_pass(const struct lookup *lookup)
{
    return lookup->verdict == LOOKUP_NO_ANSWER && !lookup->broken;
}

/* The secret must not be used. */
static int refused(const struct choosing *choosing, const struct lookup *lookup, struct error *err)
{
    if (lookup->verdict != LOOKUP_REFUSED) {
        (void)error_set(err, may_pass(lookup) ? ERROR_SYSTEM : ERROR_USAGE, 0,
                        "cannot check whether this job may read the image '%s': '%s' gave no "
                        "usable answer (%s)",
                        choosing->request->name, lookup->host, lookup->note);
        return error_hint(err, "retry the job, or set [Fargate] RegistrySecretsShared");
    }
    if (choosing->login == NULL) {
        (void)error_set(err, ERROR_USAGE, 0,
                        "image '%s' needs a login, and this job has none for '%s'",
                        choosing->request->name, choosing->name.registry);
        return error_hint(err, "set the job variable DOCKER_AUTH_CONFIG");
    }
    (void)error_set(err, ERROR_USAGE, 0, "'%s' refused this job's login for the image '%s' (%s)",
                    choosing->name.registry, choosing->request->name, lookup->note);
    return error_hint(err, "give the job's project access to the image, or correct "
                           "DOCKER_AUTH_CONFIG");
}

/* Whether a missing image may come to be when it is pulled: behind a target of ImageRewrite. */
static bool may_be_filled(const struct choosing *choosing)
{
    const struct config_list *list = &choosing->request->config->fargate.image_rewrite;
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = split_entry(list->entries[i]);
        const char *to = equals == NULL ? "" : equals + 1;
        size_t length = strlen(to);
        while (length > 0 && to[length - 1] == '/') {
            length--;
        }
        if (length > 0 && strncmp(choosing->choice->image, to, length) == 0 &&
            choosing->choice->image[length] == '/') {
            return true;
        }
    }
    return false;
}

static int judge(struct choosing *choosing, struct lookup *lookup, struct error *err)
{
    switch (lookup->verdict) {
    case LOOKUP_FOUND:
        choosing->choice->known = true;
        choosing->choice->facts = lookup->facts;
        lookup->facts = (struct image_facts){0};
        return 0;
    case LOOKUP_ABSENT:
        return absent(choosing, lookup, err);
    case LOOKUP_OTHER_PLATFORM:
        return other_platform(choosing, lookup, err);
    case LOOKUP_REFUSED:
    case LOOKUP_NO_ANSWER:
    case LOOKUP_UNCLEAR:
        break;
    }
    bool shared = choosing->request->config->fargate.registry_secrets_shared;
    bool allowed = lookup->readable || (shared && lookup->verdict != LOOKUP_REFUSED);
    if (choosing->must_check && !allowed) {
        return refused(choosing, lookup, err);
    }
    note_unknown(choosing, "'%.100s': %s", lookup->host, lookup->note);
    if (choosing->request->is_needed && may_pass(lookup)) {
        (void)error_set(err, ERROR_SYSTEM, 0, "%s", choosing->choice->unknown);
        return no_answer(choosing, err);
    }
    return 0;
}

/* The image under the name that the job wrote, when the place that it is pulled from does not have
 * it yet. */
static int look_at_original(struct choosing *choosing, struct error *err)
{
    struct lookup lookup = {.readable = false};
    struct registry_login *login = NULL;
    if (!choosing->rewritten || !may_be_asked(choosing, &choosing->written)) {
        note_unknown(choosing, "it is not in '%s' yet", choosing->name.registry);
        return 0;
    }
    login = registry_login_new(err);
    int found = login == NULL ? -1 : own_login(choosing, &choosing->written, login, err);
    int result =
        found < 0 ? -1 : ask(choosing, &choosing->written, found == 1 ? login : NULL, &lookup, err);
    if (result == 0) {
        choosing->must_check = false; /* the secret is not this registry's */
        result = judge(choosing, &lookup, err);
    }
    lookup_done(&lookup);
    sodium_free(login);
    return result;
}

static int look_up(struct choosing *choosing, struct error *err)
{
    struct lookup lookup = {.readable = false};
    int result = 0;
    int attempts = needs_answer(choosing) ? ATTEMPTS : 1;
    for (int attempt = 0; attempt < attempts; attempt++) {
        lookup_done(&lookup);
        result = ask(choosing, &choosing->name, choosing->login, &lookup, err);
        if (result < 0 || lookup.verdict != LOOKUP_NO_ANSWER) {
            break;
        }
    }
    if (result == 0 && lookup.verdict == LOOKUP_ABSENT && !choosing->must_check &&
        may_be_filled(choosing)) {
        result = look_at_original(choosing, err);
    } else if (result == 0) {
        result = judge(choosing, &lookup, err);
    }
    lookup_done(&lookup);
    return result;
}

static int choose(struct choosing *choosing, struct error *err)
{
    const struct config_fargate *fargate = &choosing->request->config->fargate;
    if (image_choice_check(choosing->request->config, err) < 0 || rewrite(choosing, err) < 0) {
        return -1;
    }
    choosing->in_ecr = ecr_name_parse(choosing->choice->image, &choosing->ecr) == 0;
    bool asked = may_be_asked(choosing, &choosing->name);
    if (asked && find_login(choosing, err) < 0) {
        return -1;
    }
    if (!choosing->in_ecr) { /* the execution role reads ECR */
        choosing->choice->secret =
            find_by_host(&fargate->registry_secrets, choosing->name.registry);
    }
    choosing->must_check = choosing->choice->secret != NULL &&
                           choosing->request->patterns != NULL &&
                           (!fargate->registry_secrets_shared || choosing->login != NULL);
    if (!asked) {
        note_unknown(choosing, "no pattern of the allow list spells out its registry '%s'",
                     choosing->name.registry);
    }
    if (!asked || (choosing->in_ecr && choosing->login == NULL)) {
        return 0;
    }
    return look_up(choosing, err);
}

int image_choose(const struct image_request *request, struct image_choice *out_choice,
                 struct error *err)
{
    struct image_choice choice = {.known = false};
    struct choosing choosing = {
        .request = request,
        .choice = &choice,
        .wanted = {.os = "linux"},
    };
    (void)snprintf(choosing.wanted.architecture, sizeof(choosing.wanted.architecture), "%s",
                   request->architecture);
    int result = choose(&choosing, err);
    sodium_free(choosing.login);
    if (result < 0) {
        image_choice_done(&choice);
        return -1;
    }
    *out_choice = choice;
    return 0;
}

void image_choice_done(struct image_choice *choice)
{
    image_facts_done(&choice->facts);
}

/* --- the configuration --- */

/* "host", "host:port" or "[address]:port", which a name of an image can begin with. */
static bool is_host(const char *text, size_t length)
{
    char name[IMAGE_CHOICE_BYTES];
    struct image_name parsed;
    int wrote = snprintf(name, sizeof(name), "%.*s/x", (int)length, text);
    return wrote > 0 && (size_t)wrote < sizeof(name) && memchr(text, '/', length) == NULL &&
           image_name_parse(name, &parsed) == 0 && strlen(parsed.registry) == length &&
           strncmp(parsed.registry, text, length) == 0;
}

static bool is_insecure_entry(const char *entry)
{
    return is_host(entry, strlen(entry));
}

static bool is_secret_entry(const char *entry)
{
    const char *equals = split_entry(entry);
    return equals != NULL && is_host(entry, (size_t)(equals - entry)) &&
           strncmp(equals + 1, "arn:", 4) == 0 && strstr(equals, ":secretsmanager:") != NULL;
}

static bool is_rewrite_entry(const char *entry)
{
    char name[IMAGE_CHOICE_BYTES];
    struct image_name parsed;
    const char *equals = split_entry(entry);
    if (equals == NULL || !is_host(entry, strcspn(entry, "/="))) {
        return false;
    }
    size_t length = strlen(equals + 1);
    int wrote =
        snprintf(name, sizeof(name), "%s%s", equals + 1, equals[length] == '/' ? "x" : "/x");
    return wrote > 0 && (size_t)wrote < sizeof(name) && image_name_parse(name, &parsed) == 0;
}

int image_choice_check(const struct config *config, struct error *err)
{
    const struct {
        const struct config_list *list;
        const char *key, *form;
        bool (*is_valid)(const char *entry);
    } rows[] = {
        {&config->helper.insecure_registries, "[Helper] InsecureRegistries", "HOST or HOST:PORT",
         is_insecure_entry},
        {&config->fargate.registry_secrets, "[Fargate] RegistrySecrets",
         "HOST=ARN with the ARN of a secret in Secrets Manager", is_secret_entry},
        {&config->fargate.image_rewrite, "[Fargate] ImageRewrite",
         "FROM=TO, both beginning with a registry, such as docker.io=REGISTRY/PREFIX",
         is_rewrite_entry},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t j = 0; j < rows[i].list->count; j++) {
            const char *entry = rows[i].list->entries[j];
            char place[CONFIG_PLACE_BYTES];
            if (!rows[i].is_valid(entry)) {
                return error_set(err, ERROR_USAGE, 0, "%s: '%.200s' is not %s",
                                 config_place(config, rows[i].list, rows[i].key, place), entry,
                                 rows[i].form);
            }
        }
    }
    return 0;
}
