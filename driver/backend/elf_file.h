/* SPDX-License-Identifier: MIT */
/*
 * elf_file.h - for which processor a program is, and whether it is static. Pure bytes.
 *
 * Format: System V ABI, chapters "ELF Header" and "Program Header"; little-endian, as all
 * processors that Berth supports. Processors have Docker's names ("amd64", "arm64").
 */
#ifndef BERTH_DRIVER_BACKEND_ELF_FILE_H
#define BERTH_DRIVER_BACKEND_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"
#include "driver/config/config.h"

#define ELF_PROCESSOR_BYTES 32

struct elf_file {
    char processor[ELF_PROCESSOR_BYTES]; /* empty: unknown */
    bool is_static; /* a 64-bit program without an interpreter, as far as the bytes reach */
};

/* Returns -1 if the bytes do not begin an ELF file. The first few hundred bytes suffice for the
 * processor. */
int elf_file_read(const void *bytes, size_t length, struct elf_file *out_file)
    __attribute__((warn_unused_result));

/* The static program [Helper] Busybox for images of that processor, into 'out', whose ceiling the
 * caller has set. Returns 1; 0 if there is none to use: it is "none", or not set and the default
 * file is missing or unsuitable. A file that was configured and cannot be used is ERROR_USAGE. */
int elf_file_busybox(const struct config *config, const char *processor, struct buffer *out,
                     struct error *err) __attribute__((warn_unused_result));

#endif
