/* SPDX-License-Identifier: MIT */
#include "driver/registry/lookup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "driver/registry/cache.h"
#include "driver/registry/client.h"
#include "driver/registry/manifest.h"

struct look {
    const struct lookup_request *request;
    struct registry *registry;
    struct lookup *out;
    struct registry_answer answer; /* of the last request */
    bool has_soci_index;           /* by the index */
};

/* The verdict, and 1: the look-up is over. */
static int conclude(struct look *look, enum lookup_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int conclude(struct look *look, enum lookup_verdict verdict, const char *format, ...)
{
    va_list arguments;
    look->out->verdict = verdict;
    va_start(arguments, format);
    (void)vsnprintf(look->out->note, sizeof(look->out->note), format, arguments);
    va_end(arguments);
    return 1;
}

static int no_answer(struct look *look, const struct error *own, struct error *err)
{
    if (own->errnum == EINTR) {
        *err = *own;
        return -1;
    }
    look->out->broken = own->kind != ERROR_SYSTEM;
    return conclude(look, LOOKUP_NO_ANSWER, "%.250s", own->message);
}

static int unclear(struct look *look, const char *what)
{
    return conclude(look, LOOKUP_UNCLEAR, "%s of '%.100s': HTTP %d", what, look->out->host,
                    look->answer.status);
}

/* GET of manifest or blob. 0, or as conclude(). */
static int get(struct look *look, bool manifest, const char *reference, struct error *err)
{
    struct error own = {0};
    int result =
        manifest ? registry_get_manifest(look->registry, reference, &look->answer, &own)
                 : registry_get_blob(look->registry, reference, NULL, NULL, &look->answer, &own);
    if (result < 0 && own.errnum != ETIMEDOUT && own.errnum != EINTR) {
        /* The registry has answered before: this is about one image, which its author controls, and
         * must not end the look-ups of all others. */
        return conclude(look, LOOKUP_UNCLEAR, "%.250s", own.message);
    }
    if (result < 0) {
        return no_answer(look, &own, err);
    }
    return look->answer.status == 200 ? 0 : unclear(look, manifest ? "manifest" : "configuration");
}

/* The same by digest, which the bytes must have. */
static int get_by_digest(struct look *look, bool manifest, const char *digest, struct error *err)
{
    int result = get(look, manifest, digest, err);
    const struct buffer *body = &look->answer.body;
    if (result != 0 ||
        digest_matches(digest, body->bytes == NULL ? "" : body->bytes, body->length)) {
        return result;
    }
    return conclude(look, LOOKUP_UNCLEAR, "'%.100s' sent content of another digest",
                    look->out->host);
}

/* The codes of an error answer need a body, which HEAD has not. */
static int read_refusal(struct look *look, struct error *err)
{
    struct error own = {0};
    int status = look->answer.status;
    if (status == 404 || registry_used_login(look->registry)) {
        if (registry_get_manifest(look->registry, look->request->name->tag, &look->answer, &own) <
            0) {
            return no_answer(look, &own, err);
        }
        bool same = look->answer.status == status || look->answer.status == 404;
        if (same && registry_says_unknown(&look->answer)) {
            return conclude(look, LOOKUP_ABSENT, "HTTP %d", look->answer.status);
        }
    }
    return status == 404 ? unclear(look, "answer") /* perhaps not from a registry */
                         : conclude(look, LOOKUP_REFUSED, "HTTP %d", status);
}

/* 0 with the digest in 'digest', which is empty when the registry does not name it. */
static int head(struct look *look, char digest[DIGEST_BYTES], struct error *err)
{
    struct error own = {0};
    if (registry_head(look->registry, look->request->name->tag, &look->answer, &own) < 0) {
        return no_answer(look, &own, err);
    }
    int status = look->answer.status;
    if (status == 429 || status >= 500) {
        return conclude(look, LOOKUP_NO_ANSWER, "HTTP %d", status);
    }
    if (status == 401 || status == 403 || status == 404) {
        return read_refusal(look, err);
    }
    if (status != 200) {
        return unclear(look, "answer");
    }
    look->out->readable = true;
    const char *tag = look->request->name->tag;
    const char *source = digest_is_valid(tag) ? tag : look->answer.digest;
    (void)snprintf(digest, DIGEST_BYTES, "%.*s", DIGEST_BYTES - 1, source);
    return 0;
}

static int parse(struct look *look, struct manifest *manifest)
{
    struct error own = {0};
    const struct registry_answer *answer = &look->answer;
    return manifest_parse(answer->body.bytes, answer->body.length, answer->type, manifest, &own) < 0
               ? conclude(look, LOOKUP_UNCLEAR, "%.250s", own.message)
               : 0;
}

/* Replaces an index by the manifest for the platform. */
static int choose(struct look *look, struct manifest *manifest, struct error *err)
{
    struct manifest_descriptor entry;
    char digest[DIGEST_BYTES];
    if (!manifest->is_index) {
        return 0;
    }
    if (!manifest_choose(manifest, look->request->wanted, &entry)) {
        manifest_platforms(manifest, look->out->platforms, sizeof(look->out->platforms));
        return look->out->platforms[0] == '\0'
                   ? conclude(look, LOOKUP_UNCLEAR, "the index names no platform")
                   : conclude(look, LOOKUP_OTHER_PLATFORM, "no entry in the index");
    }
    (void)snprintf(digest, sizeof(digest), "%s", entry.digest);
    look->has_soci_index = entry.has_soci_index;
    manifest_done(manifest);
    int result = get_by_digest(look, true, digest, err);
    result = result == 0 ? parse(look, manifest) : result;
    return result == 0 && manifest->is_index
               ? conclude(look, LOOKUP_UNCLEAR, "an index within the index")
               : result;
}

static int read_image(struct look *look, const struct manifest *manifest, const char *digest,
                      struct error *err)
{
    struct error own = {0};
    struct image_facts *facts = &look->out->facts;
    int result = get_by_digest(look, false, manifest_config(manifest).digest, err);
    if (result != 0) {
        return result;
    }
    const struct buffer *body = &look->answer.body;
    if (manifest_read_config(body->bytes, body->length, facts, &own) < 0) {
        return conclude(look, LOOKUP_UNCLEAR, "%.250s", own.message);
    }
    (void)snprintf(facts->digest, sizeof(facts->digest), "%s", digest);
    facts->compressed_bytes = manifest_bytes(manifest);
    facts->has_soci_index = look->has_soci_index || manifest_has_soci_index(manifest);
    if (!image_platform_fits(look->request->wanted, &facts->platform)) {
        image_platform_text(&facts->platform, look->out->platforms);
        return conclude(look, LOOKUP_OTHER_PLATFORM, "by its configuration");
    }
    return 0;
}

/* 1 when a verdict was reached; 0: the image was found. */
static int look_at(struct look *look, struct error *err)
{
    char digest[DIGEST_BYTES] = "";
    const char *directory = look->request->config->metadata_directory;
    struct manifest manifest = {.root = NULL};
    int result = head(look, digest, err);
    bool unnamed = result == 0 && digest[0] == '\0';
    if (unnamed) {
        result = get(look, true, look->request->name->tag, err);
        const struct buffer *body = &look->answer.body;
        digest_of(body->bytes == NULL ? "" : body->bytes, body->length, digest);
    }
    if (result != 0 || cache_find(directory, digest, look->request->wanted, &look->out->facts)) {
        return result;
    }
    result = unnamed ? 0 : get_by_digest(look, true, digest, err);
    result = result == 0 ? parse(look, &manifest) : result;
    result = result == 0 ? choose(look, &manifest, err) : result;
    result = result == 0 ? read_image(look, &manifest, digest, err) : result;
    manifest_done(&manifest);
    if (result == 0) {
        cache_add(directory, look->request->wanted, &look->out->facts);
    }
    return result;
}

void lookup_budget_init(struct lookup_budget *budget)
{
    *budget = (struct lookup_budget){.ms = LOOKUP_MS, .bytes = LOOKUP_CEILING_BYTES};
}

/* Asks the host within the budget. A host that had little of it is not to blame. */
static int ask(struct look *look, struct lookup_budget *budget, struct error *err)
{
    const struct lookup_request *request = look->request;
    const char *directory = request->config->metadata_directory;
    int64_t from_ms = clock_now_ms();
    bool had_time = budget->ms >= LOOKUP_MS / 2;
    if (!request->ask_silent && cache_is_silent(directory, look->out->host)) {
        return conclude(look, LOOKUP_NO_ANSWER, "did not answer within the last 5 minutes");
    }
    if (budget->ms <= 0 || budget->bytes <= 0) {
        return conclude(look, LOOKUP_NO_ANSWER, "other images took the time of this job");
    }
    int result = look_at(look, err);
    int64_t took_ms = clock_now_ms() - from_ms;
    if (result == 1 && look->out->verdict == LOOKUP_NO_ANSWER &&
        (had_time || took_ms < budget->ms)) {
        cache_add_silent(directory, look->out->host);
    }
    budget->ms -= took_ms;
    budget->bytes = registry_bytes_left(look->registry);
    return result;
}

int image_look_up(const struct lookup_request *request, struct lookup *out_lookup,
                  struct error *err)
{
    struct look look = {.request = request, .out = out_lookup};
    struct error own = {0};
    struct lookup_budget whole;
    lookup_budget_init(&whole);
    struct lookup_budget *budget = request->budget != NULL ? request->budget : &whole;
    struct registry_options options = {
        .insecure = &request->config->helper.insecure_registries,
        .login = request->login,
        .signals = request->signals,
        .deadline_ms = clock_deadline_ms(budget->ms),
        .ceiling_bytes = budget->bytes,
    };
    *out_lookup = (struct lookup){.verdict = LOOKUP_FOUND};
    (void)snprintf(out_lookup->host, sizeof(out_lookup->host), "%s", request->name->registry);
    look.registry = registry_open(request->name, &options, &own);
    if (look.registry == NULL) {
        (void)conclude(&look, LOOKUP_UNCLEAR, "%.250s", own.message);
        return 0;
    }
    (void)snprintf(out_lookup->host, sizeof(out_lookup->host), "%s", registry_host(look.registry));
    int result = ask(&look, budget, err);
    buffer_done(&look.answer.body);
    registry_close(look.registry);
    if (result != 0) {
        image_facts_done(&out_lookup->facts);
    }
    return result < 0 ? -1 : 0;
}

void lookup_done(struct lookup *lookup)
{
    image_facts_done(&lookup->facts);
}
