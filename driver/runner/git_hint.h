/* SPDX-License-Identifier: MIT */
/*
 * git_hint.h - what to do about an image without git, the most common missing program: images of
 * languages rarely have it, and GitLab's own stages find it in the helper container.
 */
#ifndef BERTH_DRIVER_RUNNER_GIT_HINT_H
#define BERTH_DRIVER_RUNNER_GIT_HINT_H

#include <stddef.h>

enum git_hint_place {
    GIT_HINT_GITLABS, /* get_sources or another stage of GitLab, not in a helper container */
    GIT_HINT_SCRIPT,  /* a script of .gitlab-ci.yml */
    GIT_HINT_EXEC,    /* 'berth-driver exec' */
};

/* A hint for shell text that exited with this status: 127, a program was not found. NULL: none, as
 * the text runs no git. */
const char *git_hint(enum git_hint_place place, int status, const char *text, size_t length);

#endif
