/* SPDX-License-Identifier: MIT */
#include "driver/record/runner_id.h"

#include <sodium.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/buffer.h"
#include "common/fd.h"

#define MACHINE_ID_BYTES 256

void runner_id_get(const struct config *config, char out[RUNNER_ID_BYTES])
{
    unsigned char hash[crypto_generichash_BYTES];
    crypto_generichash_state state;
    struct utsname system = {.nodename = ""};
    struct buffer machine;
    buffer_init(&machine, MACHINE_ID_BYTES);
    (void)uname(&system);
    (void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    if (fd_read_file("/etc/machine-id", &machine, NULL) == 0 && machine.bytes != NULL) {
        (void)crypto_generichash_update(&state, (const unsigned char *)machine.bytes,
                                        machine.length);
    }
    buffer_done(&machine);
    const char *const texts[] = {system.nodename, config->metadata_directory};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        (void)crypto_generichash_update(&state, (const unsigned char *)texts[i],
                                        strlen(texts[i]) + 1);
    }
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    (void)sodium_bin2hex(out, RUNNER_ID_BYTES, hash, (RUNNER_ID_BYTES - 1) / 2);
}
