/* SPDX-License-Identifier: MIT */
/*
 * links.h - directories of symbolic links for the PATH of jobs.
 *
 *   helper/gitlab-runner   to the image's gitlab-runner-helper, under the name that GitLab Runner's
 *                          scripts call
 *   applets/NAME           to a busybox, for images without a shell
 *
 * 'place' makes both beside the program. An agent that has none there makes its own at startup, in
 * a new directory of a place that it can write, and removes it when it exits.
 */
#ifndef BERTH_AGENT_CHILD_LINKS_H
#define BERTH_AGENT_CHILD_LINKS_H

#include "agent/options.h"
#include "common/error.h"

/* Makes "helper" in an open directory. The target need not exist there. */
int links_make_helper(int directory_fd, const char *target, struct error *err)
    __attribute__((warn_unused_result));

/* Makes "applets" in an open directory, with a link to 'target' for each applet that 'busybox', a
 * program, lists; for a usual set of them if it cannot be run, with a warning in the log. */
int links_make_applets(int directory_fd, const char *busybox, const char *target, struct error *err)
    __attribute__((warn_unused_result));

/* The directories that the jobs of an agent with these options need; NULL: none. */
struct links {
    char *helper;  /* for --helper */
    char *applets; /* for --busybox, if the image has no shell */
    char *own;     /* the directory that links_close() removes */
};

/* Finds or makes them. What an image lacks or cannot be made is logged, since jobs without it run
 * as well. */
void links_open(const struct agent_options *options, struct links *out_links);
void links_close(struct links *links);

/* The directory of this program, from /proc, else from argv[0]. Returns -1 if it is not known. */
int links_program_directory(const char *argv0, char *out, size_t room)
    __attribute__((warn_unused_result));

#endif
