/* SPDX-License-Identifier: MIT */
/* Where a job comes from, by JOB_RESPONSE_FILE, and what its backend has recorded of its task. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "driver/base/json.h"
#include "driver/history/entry.h"
#include "driver/history/text.h"

#define JOBS_PATH     "/-/jobs/"
#define SECRET_LEAST  4  /* bytes: shorter values are parts of ordinary words */
#define SECRET_PART   16 /* bytes: a part of so many is masked, too */
#define VARIABLES_MAX 4096

void history_text(cJSON *to, const char *name, const char *value, size_t room, bool *ok)
{
    char text[HISTORY_TEXT_ROOM];
    if (value != NULL && value[0] != '\0') {
        size_t length = strlen(value);
        (void)escape(text, room < sizeof(text) ? room : sizeof(text), value, length, ESCAPE_TEXT);
        cJSON_DeleteItemFromObjectCaseSensitive(to, name);
        json_text(to, name, text, ok);
    }
}

void history_number(cJSON *to, const char *name, double value, bool *ok)
{
    if (value > 0 && value < 9e15) {
        cJSON_DeleteItemFromObjectCaseSensitive(to, name);
        *ok = cJSON_AddNumberToObject(to, name, value) != NULL && *ok;
    }
}

/* A figure to three decimals: milliseconds. */
void history_seconds(cJSON *to, const char *name, double value, bool *ok)
{
    if (value >= 0.0005 && value < 9e12) {
        history_number(to, name, (double)(int64_t)(value * 1000 + 0.5) / 1000, ok);
    }
}

/* "https://user:token@host/group/project.git" without user, token and suffix. */
static void read_repository(const char *url, char *out_base, char *out_project, size_t room)
{
    const char *scheme_end = strstr(url, "://");
    out_base[0] = out_project[0] = '\0';
    if (scheme_end == NULL || strncmp(url, "http", 4) != 0) {
        return;
    }
    const char *host = scheme_end + 3;
    size_t host_length = strcspn(host, "/?#");
    const char *path = host + host_length;
    for (const char *at = host; at < path; at++) {
        if (*at == '@') {
            host_length -= (size_t)(at + 1 - host);
            host = at + 1;
        }
    }
    size_t length = strcspn(path, "?#");
    if (length > 4 && strncmp(path + length - 4, ".git", 4) == 0) {
        length -= 4;
    }
    if (length < 2) {
        return;
    }
    (void)snprintf(out_project, room, "%.*s", (int)(length - 1), path + 1);
    (void)snprintf(out_base, room, "%.*s%.*s%.*s", (int)(scheme_end + 3 - url), url,
                   (int)host_length, host, (int)length, path);
}

static int64_t number_of(const char *key)
{
    return strncmp(key, "job-", 4) == 0 ? strtoll(key + 4, NULL, 10) : 0;
}

static void add_origin(cJSON *root, const char *key, const cJSON *response, bool *ok)
{
    char base[HISTORY_TEXT_BYTES];
    char project[HISTORY_TEXT_BYTES];
    char url[HISTORY_TEXT_BYTES + 32] = "";
    const char *full = json_text_at(response, "job_info.project_full_path");
    read_repository(json_text_or_empty(response, "git_info.repo_url"), base, project, sizeof(base));
    if (base[0] != '\0') {
        (void)snprintf(url, sizeof(url), "%s" JOBS_PATH "%lld", base, (long long)number_of(key));
    }
    if (full == NULL || full[0] == '\0') {
        full = project[0] != '\0' ? project : json_text_at(response, "job_info.project_name");
    }
    history_number(root, "timeout", (double)json_number_at(response, "runner_info.timeout"), ok);
    history_text(root, "name", json_text_at(response, "job_info.name"), HISTORY_TEXT_BYTES, ok);
    history_text(root, "project", full, HISTORY_TEXT_BYTES, ok);
    history_text(root, "ref", json_text_at(response, "git_info.ref"), HISTORY_TEXT_BYTES, ok);
    history_text(root, "url", url, HISTORY_TEXT_BYTES, ok);
    /* As the pipeline has it: expanded, it would have the values of variables. */
    history_text(root, "image", json_text_at(response, "image.name"), HISTORY_TEXT_BYTES, ok);
}

int history_print(cJSON *root, bool ok, struct buffer *out)
{
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    int result = text == NULL ? -1 : buffer_append_text(out, text);
    cJSON_free(text);
    return result;
}

int history_note_job(const char *key, const cJSON *response, const char *backend, int64_t now_s,
                     struct buffer *out)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL;
    json_text(root, "key", key, &ok);
    history_number(root, "job", (double)number_of(key), &ok);
    history_number(root, "started_at", (double)now_s, &ok);
    add_origin(root, key, response, &ok);
    history_text(root, "backend", backend, HISTORY_TEXT_BYTES, &ok);
    return history_print(root, ok, out);
}

/* How much of 'value' begins at 'at', if it is enough to be masked: messages cut long values, and
 * the end of a message that was cut ('at_end') may be in one. */
static size_t secret_at(const char *at, const char *value, bool at_end)
{
    size_t length = 0;
    while (value[length] != '\0' && at[length] == value[length]) {
        length++;
    }
    bool enough = value[length] == '\0' || length >= SECRET_PART ||
                  (at_end && at[length] == '\0' && length >= SECRET_LEAST);
    return enough ? length : 0;
}

/* Replaces each occurrence of a value. */
static void blot_out(char *text, const char *value)
{
    static const char blot[] = "[masked]";
    char rest[HISTORY_TEXT_ROOM];
    bool at_end = strlen(text) + 1 >= HISTORY_TEXT_ROOM;
    for (char *at = text; (at = strchr(at, value[0])) != NULL;) {
        size_t length = secret_at(at, value, at_end);
        size_t left = HISTORY_TEXT_ROOM - (size_t)(at - text);
        if (length == 0) {
            at++;
            continue;
        }
        if (left <= sizeof(blot)) {
            *at = '\0';
            return;
        }
        (void)snprintf(rest, sizeof(rest), "%s", at + length);
        (void)snprintf(at, left, "%s%s", blot, rest);
        at += sizeof(blot) - 1;
    }
}

void history_mask(char text[HISTORY_TEXT_ROOM], const cJSON *response)
{
    int count = 0;
    const cJSON *variable;
    cJSON_ArrayForEach(variable, cJSON_GetObjectItemCaseSensitive(response, "variables"))
    {
        const char *value = json_text_or_empty(variable, "value");
        bool open = json_true_at(variable, "public") && !json_true_at(variable, "masked");
        if (!open && strlen(value) >= SECRET_LEAST && ++count <= VARIABLES_MAX) {
            blot_out(text, value);
        }
    }
}

void history_read_facts(const cJSON *state, struct history_figures *figures)
{
    const cJSON *facts = cJSON_GetObjectItemCaseSensitive(state, HISTORY_FACTS);
    if (!cJSON_IsObject(facts)) {
        return;
    }
    const cJSON *vcpus = cJSON_GetObjectItemCaseSensitive(facts, "vcpus");
    const cJSON *memory = cJSON_GetObjectItemCaseSensitive(facts, "memory_gib");
    figures->vcpus = cJSON_IsNumber(vcpus) ? vcpus->valuedouble : figures->vcpus;
    figures->memory_gib = cJSON_IsNumber(memory) ? memory->valuedouble : figures->memory_gib;
    figures->spot = json_true_at(facts, "spot");
    figures->elsewhere = json_true_at(facts, "elsewhere");
    if (json_text_at(facts, "image") != NULL) {
        (void)snprintf(figures->image, sizeof(figures->image), "%s", json_text_at(facts, "image"));
    }
}
