/* SPDX-License-Identifier: MIT */
#include "driver/backend/service_names.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "driver/base/json.h"
#include "driver/registry/name.h"

static bool is_host_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < IMAGE_ALIAS_BYTES && text[0] != '-' &&
           text[strspn(
               text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static bool has_text(const cJSON *list, const char *text)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list)
    {
        if (strcasecmp(entry->valuestring, text) == 0) {
            return true;
        }
    }
    return false;
}

static void add_alias(const cJSON *service, const char *alias, cJSON *taken, cJSON *out_names,
                      bool *ok)
{
    if (has_text(out_names, alias)) {
        return;
    }
    if (strcasecmp(alias, "localhost") == 0 || strcasecmp(alias, JOB_HOST_NAME) == 0) {
        log_warn("service '%s': ignoring the alias '%s', which is reserved",
                 json_text_or_empty(service, "name"), alias);
        return;
    }
    if (has_text(taken, alias)) {
        log_warn("service '%s': ignoring the alias '%s', which another service has",
                 json_text_or_empty(service, "name"), alias);
        return;
    }
    json_append(taken, alias, ok);
    json_append(out_names, alias, ok);
}

/* "alias: db,database": several, separated by commas or blanks. */
void service_names_read(const cJSON *service, cJSON *taken, cJSON *out_names, bool *ok)
{
    static const char between[] = ", \t\r\n\v\f";
    char word[IMAGE_ALIAS_BYTES];
    char made[2][IMAGE_ALIAS_BYTES];
    struct image_name name;
    const char *alias = json_text_at(service, "alias");
    for (const char *at = alias == NULL ? "" : alias; *at != '\0';) {
        at += strspn(at, between);
        size_t length = strcspn(at, between);
        (void)snprintf(word, sizeof(word), "%.*s", (int)(length < sizeof(word) ? length : 0), at);
        if (is_host_name(word)) {
            add_alias(service, word, taken, out_names, ok);
        } else if (length > 0) {
            log_warn("service '%s': ignoring the alias '%.*s', which is not a valid host name",
                     json_text_or_empty(service, "name"),
                     (int)(length < sizeof(word) ? length : sizeof(word)), at);
        }
        at += length;
    }
    if (image_name_parse(json_text_or_empty(service, "name"), &name) == 0) {
        image_name_aliases(&name, made);
        for (size_t i = 0; i < 2; i++) {
            if (made[i][0] != '\0') {
                add_alias(service, made[i], taken, out_names, ok);
            }
        }
    }
}

void service_names_join(const cJSON *names, char out[SERVICE_LOG_NAME_BYTES])
{
    size_t length = 0;
    const cJSON *alias = NULL;
    out[0] = '\0';
    cJSON_ArrayForEach(alias, names)
    {
        size_t room = SERVICE_LOG_NAME_BYTES - length;
        int wrote = snprintf(out + length, room, "%s%s", length > 0 ? "-" : "", alias->valuestring);
        length += (size_t)wrote < room ? (size_t)wrote : room - 1;
    }
}
