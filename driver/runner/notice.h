/* SPDX-License-Identifier: MIT */
/*
 * notice.h - what Berth prints into a job's log.
 *
 * Every line begins with "berth: ": notices on stdout, and the lines of log.h on stderr, to which
 * main() gives this prefix in the stages of a job.
 */
#ifndef BERTH_DRIVER_RUNNER_NOTICE_H
#define BERTH_DRIVER_RUNNER_NOTICE_H

#define NOTICE_PREFIX "berth"

/* One line, without its newline; text from outside is escaped. Longer ones are cut to 2 KiB. */
void notice_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
