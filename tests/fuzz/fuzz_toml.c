/* SPDX-License-Identifier: MIT */
/* Configuration is the first thing the driver reads. Beyond "no crash": every value of an accepted
 * document can be walked, found by its key, and read by exactly the getters of its type. */
#include <stdlib.h>
#include <string.h>

#include "driver/config/toml/toml.h"
#include "tests/fuzz/fuzz.h"

static void check_scalar(const struct toml_value *value)
{
    const char *text = NULL;
    size_t length = 0;
    int64_t integer = 0;
    double number = 0;
    bool truth = false;
    struct toml_datetime when;
    int fits = toml_get_integer(value, &integer) + toml_get_float(value, &number) +
               toml_get_bool(value, &truth) + toml_get_datetime(value, &when);
    if (toml_get_string(value, &text, &length)) {
        fuzz_require(text[length] == '\0');
        fits++;
    }
    fuzz_require(fits == 1 && toml_first(value) == NULL);
}

static void check_value(const struct toml_value *value, int depth)
{
    enum toml_type type = toml_type(value);
    fuzz_require(toml_line(value) >= 1 && toml_type_name(type) != NULL);
    if (type != TOML_TABLE && type != TOML_ARRAY) {
        check_scalar(value);
        return;
    }
    fuzz_require(depth <= TOML_DEPTH);
    for (const struct toml_value *child = toml_first(value); child != NULL;
         child = toml_next(child)) {
        const char *key = toml_key(child);
        fuzz_require((key != NULL) == (type == TOML_TABLE));
        check_value(child, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct toml_document *document = NULL;
    struct error err = {0};
    if (toml_parse("fuzz", (const char *)bytes, size, &document, &err) < 0) {
        fuzz_require(err.kind == ERROR_USAGE && strncmp(err.message, "fuzz:", 5) == 0);
        fuzz_require(document == NULL);
        return 0;
    }
    check_value(toml_root(document), 0);
    toml_free(document);
    return 0;
}
