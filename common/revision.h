/* SPDX-License-Identifier: MIT */
/*
 * revision.h - the commit that this program was built from (cmake/revision.cmake).
 *
 * A constant; nothing to free. Of its own object, so that another commit recompiles only that.
 */
#ifndef BERTH_COMMON_REVISION_H
#define BERTH_COMMON_REVISION_H

/* "commit 1a2b3c4d5e6f, 2026-01-31", with "-modified" after the commit if files differed from it;
 * "unknown commit" if it was not built from a repository. */
extern const char revision_text[];

#endif
