/* SPDX-License-Identifier: MIT */
#include "driver/aws/xml.h"

#include "tests/unit/rows.h"

#define NAME_16  "aaaaaaaaaaaaaaaa"
#define NAME_128 NAME_16 NAME_16 NAME_16 NAME_16 NAME_16 NAME_16 NAME_16 NAME_16

struct row {
    const char *name;
    const char *text;
    const char *json;    /* NULL: refused */
    const char *refusal; /* part of the message */
};

static const struct row rows[] = {
    {"leaves and white space", "<a>\n <b> x </b>\n <c/>\n</a>", "{\"b\":\"x\",\"c\":\"\"}", NULL},
    {"list", "<a><s><item><b>1</b></item><item><b>2</b></item></s></a>",
     "{\"s\":[{\"b\":\"1\"},{\"b\":\"2\"}]}", NULL},
    {"no elements", "<a>x</a>", NULL, "no elements"},
    {"cut off", "<a><b>x</b>", NULL, "no element found"},
    {"DOCTYPE", "<!DOCTYPE a [<!ENTITY b \"c\">]><a><b>&b;</b></a>", NULL, "DOCTYPE"},
    {"name too long", "<a><" NAME_128 ">x</" NAME_128 "></a>", NULL, "too long"},
    /* expat reports the end of an empty element even if its start was refused. */
    {"empty element, name too long", "<a><b><" NAME_128 "/></b></a>", NULL, "too long"},
    {"empty root, name too long", "<" NAME_128 "/>", NULL, "too long"},
};

static void test_parse(void **state)
{
    const struct row *row = *state;
    struct error err = {0};
    cJSON *tree = xml_parse(row->text, strlen(row->text), &err);
    char *json = tree == NULL ? NULL : cJSON_PrintUnformatted(tree);
    if (row->json == NULL) {
        assert_null(tree);
        assert_non_null(strstr(err.message, row->refusal));
    } else {
        assert_non_null(json);
        assert_string_equal(json, row->json);
    }
    cJSON_free(json);
    cJSON_Delete(tree);
}

int main(void)
{
    return rows_run(rows, test_parse);
}
