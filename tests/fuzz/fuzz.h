/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what the libFuzzer targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput() (libFuzzer's documentation), which asserts
 * more than "no crash" wherever there is more to say. Log lines are made, as JSON, and go nowhere.
 * What fuzz_text() returns is the caller's to free and ends where its bytes end, so that
 * AddressSanitizer sees every step past them; fuzz_file() returns a descriptor that the caller
 * closes.
 */
#ifndef BERTH_TESTS_FUZZ_FUZZ_H
#define BERTH_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Aborts, which libFuzzer reports with the input. */
void fuzz_require(bool truth);

/* The bytes as a string; a NUL among them ends it early. */
char *fuzz_text(const uint8_t *bytes, size_t size);

/* Cuts a text at the first newline; returns what is behind it, or the empty end of the text. */
char *fuzz_cut(char *text);

#define FUZZ_PATH_BYTES 32

/* A memory file with the bytes, at its start, and the path under which it can be opened. */
int fuzz_file(const uint8_t *bytes, size_t size, char out_path[FUZZ_PATH_BYTES]);

#endif
