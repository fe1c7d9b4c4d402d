/* SPDX-License-Identifier: MIT */
/*
 * digest.h - digests of content: "sha256:" and 64 lower-case hexadecimal digits, or "sha512:" and
 * 128 (OCI image-spec, "Digests").
 */
#ifndef BERTH_DRIVER_REGISTRY_DIGEST_H
#define BERTH_DRIVER_REGISTRY_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_BYTES 136

bool digest_is_valid(const char *text);

/* sha256 of the bytes. */
void digest_of(const void *bytes, size_t length, char out[DIGEST_BYTES]);

/* Whether the bytes have this digest; false if it is not valid. */
bool digest_matches(const char *digest, const void *bytes, size_t length);

#endif
