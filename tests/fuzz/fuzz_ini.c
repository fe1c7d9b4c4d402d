/* SPDX-License-Identifier: MIT */
/* AWS's shared files. Beyond "no crash": a refusal is the user's and names the file. */
#include <stdlib.h>
#include <string.h>

#include "driver/aws/ini.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const sections[] = {"default", "profile a", "a", "services b"};
    static const char *const keys[] = {"aws_access_key_id", "role_arn", "ecs", "region"};
    struct error err = {0};
    char nested[64];
    struct ini *ini = ini_parse("the-file", (const char *)bytes, size, &err);
    if (ini == NULL) {
        fuzz_require(strncmp(err.message, "the-file", strlen("the-file")) == 0);
        return 0;
    }
    for (size_t section = 0; section < sizeof(sections) / sizeof(sections[0]); section++) {
        for (size_t key = 0; key < sizeof(keys) / sizeof(keys[0]); key++) {
            const char *value = ini_get(ini, sections[section], keys[key]);
            fuzz_require(value == NULL || ini_has_section(ini, sections[section]));
            if (value != NULL && ini_nested(value, "endpoint_url", nested, sizeof(nested))) {
                fuzz_require(strlen(nested) < strlen(value));
            }
        }
    }
    ini_free(ini);
    return 0;
}
