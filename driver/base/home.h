/* SPDX-License-Identifier: MIT */
/*
 * home.h - the user's home directory: HOME, or without it (a service of systemd) the one in the
 * user database, which for a static program is /etc/passwd.
 */
#ifndef BERTH_DRIVER_BASE_HOME_H
#define BERTH_DRIVER_BASE_HOME_H

/* Valid until the next call. NULL: none, or not an absolute path. */
const char *home_directory(void);

#endif
