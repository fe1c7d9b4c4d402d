/* SPDX-License-Identifier: MIT */
/*
 * leaks.h - checks for memory leaks before _exit(), in builds with AddressSanitizer.
 *
 * The checker traces its own process from a clone, so the process must be dumpable. It runs if
 * ASAN_OPTIONS sets detect_leaks.
 */
#ifndef BERTH_AGENT_LEAKS_H
#define BERTH_AGENT_LEAKS_H

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#include <sys/prctl.h>

static inline void leaks_check(void)
{
    (void)prctl(PR_SET_DUMPABLE, 1);
    __lsan_do_leak_check();
}
#else
static inline void leaks_check(void)
{
}
#endif

#endif
