/* SPDX-License-Identifier: MIT */
/* Names of images come from the author of a pipeline. Beyond "no crash": what is taken has only
 * characters that mean nothing in a URL's path or a host name, and a pattern that is the name
 * itself allows it; what counts as an image in ECR puts nothing odd into a policy's ARN or into the
 * name of the host that is asked. The bytes are a pattern and a name with a newline between. */
#include <stdlib.h>
#include <string.h>

#include "driver/registry/ecr_name.h"
#include "driver/registry/name.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    struct image_name name;
    char aliases[2][IMAGE_ALIAS_BYTES];
    if (image_name_parse(text, &name) < 0) {
        return;
    }
    fuzz_require(name.repository[0] != '\0' && name.tag[0] != '\0' && name.registry[0] != '\0');
    fuzz_require(strpbrk(name.repository, "?#%&@ \n") == NULL);
    fuzz_require(strstr(text, name.repository) == text);
    fuzz_require(image_name_matches(text, text) && image_name_matches("**", text));
    image_name_aliases(&name, aliases);
    fuzz_require(aliases[0][0] != '\0' && strlen(aliases[0]) < IMAGE_ALIAS_BYTES);
    for (int i = 0; i < 2; i++) {
        fuzz_require(aliases[i][strspn(aliases[i], plain)] == '\0');
    }
}

static void check_ecr_name(const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";
    struct ecr_name name;
    if (ecr_name_parse(text, &name) < 0) {
        return;
    }
    fuzz_require(strlen(name.account) == ECR_ACCOUNT_DIGITS);
    fuzz_require(name.account[strspn(name.account, "0123456789")] == '\0');
    fuzz_require(aws_region_is_valid(name.region));
    fuzz_require(name.repository[0] != '\0' &&
                 name.repository[strspn(name.repository, plain)] == '\0');
    fuzz_require(name.is_digest == (strchr(name.tag, ':') != NULL) && name.tag[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 1024) {
        return 0;
    }
    char *text = fuzz_text(bytes, size);
    char *name = fuzz_cut(text);
    (void)image_name_matches(text, name);
    check_name(name);
    check_name(text);
    check_ecr_name(name);
    free(text);
    return 0;
}
