/* SPDX-License-Identifier: MIT */
/*
 * leaks.h - in the build with AddressSanitizer, looks for leaked memory where a process ends by
 * _exit(), as sessions and monitors do; in others, nothing.
 *
 * The checker traces its own process from a clone, so the process has to be dumpable for that
 * moment, its last. Whether it looks is up to ASAN_OPTIONS (detect_leaks).
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
