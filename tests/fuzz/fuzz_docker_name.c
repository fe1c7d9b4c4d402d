/* SPDX-License-Identifier: MIT */
/* Names of images come from whoever writes a pipeline. Beyond "no crash": what is taken has only
 * characters that mean nothing in a URL's path or a host name, and a pattern that is the name
 * itself allows it. The bytes are a pattern and a name with a newline between. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/backend/docker_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void check_name(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    struct docker_name name;
    char aliases[2][DOCKER_ALIAS_BYTES];
    if (docker_name_parse(text, &name) < 0) {
        return;
    }
    require(name.repository[0] != '\0' && name.tag[0] != '\0' && name.registry[0] != '\0');
    require(strpbrk(name.repository, "?#%&@ \n") == NULL);
    require(strstr(text, name.repository) == text);
    require(docker_name_matches(text, text) && docker_name_matches("**", text));
    docker_name_aliases(&name, aliases);
    require(aliases[0][0] != '\0' && strlen(aliases[0]) < DOCKER_ALIAS_BYTES);
    for (int i = 0; i < 2; i++) {
        require(aliases[i][strspn(aliases[i], plain)] == '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 1024) {
        return 0;
    }
    char *text = calloc(1, size + 1);
    require(text != NULL);
    if (size > 0) {
        memcpy(text, bytes, size);
    }
    char *newline = strchr(text, '\n');
    if (newline != NULL) {
        *newline = '\0';
        (void)docker_name_matches(text, newline + 1);
        check_name(newline + 1);
    }
    check_name(text);
    free(text);
    return 0;
}
