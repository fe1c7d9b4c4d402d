/* SPDX-License-Identifier: MIT */
/*
 * login.h - a login to a registry. It is a secret: allocate it with registry_login_new() and free
 * it with sodium_free(), which wipes it.
 */
#ifndef BERTH_DRIVER_REGISTRY_LOGIN_H
#define BERTH_DRIVER_REGISTRY_LOGIN_H

#include "common/error.h"

#define REGISTRY_SECRET_BYTES 8192

struct registry_login {
    char user[REGISTRY_SECRET_BYTES];
    char password[REGISTRY_SECRET_BYTES];
    char token[REGISTRY_SECRET_BYTES]; /* an identity token, instead of the two */
};

/* Zeroed; NULL with 'err': no memory. */
struct registry_login *registry_login_new(struct error *err);

#endif
