/* SPDX-License-Identifier: MIT */
#include "driver/base/program.h"

#include <stdio.h>
#include <string.h>

static const char *name = PROGRAM_NAME;

void program_set_name(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    const char *last = slash == NULL ? path : slash + 1;
    name = last != NULL && strcmp(last, PROGRAM_FARGATE) == 0 ? PROGRAM_FARGATE : PROGRAM_NAME;
}

const char *program_name(void)
{
    return name;
}

const char *program_policy_hint(void)
{
    static char text[96];
    (void)snprintf(text, sizeof(text),
                   "'%s doctor --policy' prints the policy that the runner needs", name);
    return text;
}

const char *program_push_hint(void)
{
    static char text[96];
    (void)snprintf(text, sizeof(text),
                   "'%s push-agent' pushes such an image to ECR and prints the key", name);
    return text;
}
