/* SPDX-License-Identifier: MIT */
/* Configuration is the first thing the driver reads. Beyond "no crash": every value of an accepted
 * document can be walked, found by its key, and read by exactly the getters of its type. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

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
        require(text[length] == '\0');
        fits++;
    }
    require(fits == 1 && toml_first(value) == NULL);
}

static void check_value(const struct toml_value *value, int depth)
{
    enum toml_type type = toml_type(value);
    require(toml_line(value) >= 1 && toml_type_name(type) != NULL);
    if (type != TOML_TABLE && type != TOML_ARRAY) {
        check_scalar(value);
        return;
    }
    require(depth <= TOML_DEPTH);
    size_t count = 0;
    const struct toml_value *child = toml_first(value);
    for (; child != NULL; child = toml_next(child), count++) {
        const char *key = toml_key(child);
        require((key != NULL) == (type == TOML_TABLE));
        if (key != NULL && strlen(key) == toml_key_length(child)) {
            require(toml_find(value, key) == child);
            require(toml_find_loose(value, key) == child);
        }
        check_value(child, depth + 1);
    }
    require(count == toml_count(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct toml_document *document = NULL;
    struct error err = {0};
    if (toml_parse("fuzz", (const char *)bytes, size, &document, &err) < 0) {
        require(err.kind == ERROR_USAGE && strncmp(err.message, "fuzz:", 5) == 0);
        require(document == NULL);
        return 0;
    }
    check_value(toml_root(document), 0);
    toml_free(document);
    return 0;
}
