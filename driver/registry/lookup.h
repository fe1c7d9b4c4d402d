/* SPDX-License-Identifier: MIT */
/*
 * lookup.h - looks at one image in its registry, within a budget: the look-ups of a job have 2 s
 * and 4 MiB in all.
 *
 * HEAD of the manifest; if its digest is not in the cache (cache.h), GET of index, manifest and
 * configuration, each compared with its digest. Whatever a registry does is a verdict, not an
 * error: -1 is a request to stop (EINTR) alone.
 */
#ifndef BERTH_DRIVER_REGISTRY_LOOKUP_H
#define BERTH_DRIVER_REGISTRY_LOOKUP_H

#include <stdbool.h>

#include "common/error.h"
#include "driver/base/signals.h"
#include "driver/config/config.h"
#include "driver/registry/image_facts.h"
#include "driver/registry/login.h"
#include "driver/registry/name.h"

#define LOOKUP_MS            2000
#define LOOKUP_CEILING_BYTES (4LL << 20)

enum lookup_verdict {
    LOOKUP_FOUND,          /* 'facts' are filled */
    LOOKUP_ABSENT,         /* 404, or "unknown" with a login */
    LOOKUP_OTHER_PLATFORM, /* 'platforms' are those that it is built for */
    LOOKUP_REFUSED,        /* 401 or 403: it is not known whether it exists */
    LOOKUP_NO_ANSWER,      /* no connection, timeout, HTTP 429 or 5xx, a broken rule of client.h, or
                              nothing left of the budget */
    LOOKUP_UNCLEAR,        /* an answer that cannot be used */
};

/* What is left for several look-ups together. */
struct lookup_budget {
    int64_t ms, bytes;
};
void lookup_budget_init(struct lookup_budget *budget);

struct lookup_request {
    const struct image_name *name;
    const struct image_platform *wanted;
    const struct registry_login *login; /* NULL: none */
    const struct config *config;
    struct signals *signals;
    struct lookup_budget *budget; /* what it may use, and from which that is taken; NULL: a whole
                                     one of its own */
    bool ask_silent;              /* also a host that did not answer within the last 5 minutes */
};

struct lookup {
    enum lookup_verdict verdict;
    bool broken;   /* with LOOKUP_NO_ANSWER: by a rule that it broke, so a retry cannot help */
    bool readable; /* the registry confirmed that the image exists and the login may read it */
    struct image_facts facts;
    char platforms[256];
    char host[320]; /* that was asked */
    char note[256]; /* about a verdict without facts, for log lines */
};

/* lookup_done() frees the contents. */
int image_look_up(const struct lookup_request *request, struct lookup *out_lookup,
                  struct error *err) __attribute__((warn_unused_result));
void lookup_done(struct lookup *lookup);

#endif
