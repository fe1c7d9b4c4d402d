/* SPDX-License-Identifier: MIT */
#include "driver/registry/ecr_name.h"

#include <stdio.h>
#include <string.h>

#include "driver/registry/name.h"

/* Behind the account; what is longer comes before what it begins with. */
static const struct {
    const char *label;
    bool dualstack;
} labels[] = {
    {".dkr.ecr-fips.", false},
    {".dkr.ecr.", false},
    {".dkr-ecr-fips.", true},
    {".dkr-ecr.", true},
};

/* "REGION.SUFFIX" */
static int read_region(const char *text, bool dualstack, struct ecr_name *name)
{
    size_t length = strcspn(text, ".");
    if (text[length] == '\0' || length >= sizeof(name->region)) {
        return -1;
    }
    (void)snprintf(name->region, sizeof(name->region), "%.*s", (int)length, text);
    return aws_region_is_valid(name->region) &&
                   aws_suffix_is_of(name->region, text + length + 1, dualstack)
               ? 0
               : -1;
}

static int read_registry(const char *registry, struct ecr_name *name)
{
    if (strspn(registry, "0123456789") != ECR_ACCOUNT_DIGITS) {
        return -1;
    }
    (void)snprintf(name->account, sizeof(name->account), "%.*s", ECR_ACCOUNT_DIGITS, registry);
    const char *rest = registry + ECR_ACCOUNT_DIGITS;
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        size_t length = strlen(labels[i].label);
        if (strncmp(rest, labels[i].label, length) == 0) {
            return read_region(rest + length, labels[i].dualstack, name);
        }
    }
    return -1;
}

int ecr_name_parse(const char *text, struct ecr_name *out_name)
{
    struct image_name image;
    struct ecr_name name = {0};
    if (image_name_parse(text, &image) < 0 || read_registry(image.registry, &name) < 0) {
        return -1;
    }
    /* What image_name calls a repository begins with the registry, which has been found. */
    const char *repository = image.repository + strlen(image.registry) + 1;
    if (strlen(repository) >= sizeof(name.repository)) {
        return -1;
    }
    (void)snprintf(name.repository, sizeof(name.repository), "%s", repository);
    (void)snprintf(name.tag, sizeof(name.tag), "%s", image.tag);
    name.is_digest = strchr(name.tag, ':') != NULL;
    *out_name = name;
    return 0;
}
