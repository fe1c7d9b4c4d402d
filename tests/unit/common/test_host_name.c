/* SPDX-License-Identifier: MIT */
#include "common/host_name.h"

#include "tests/unit/rows.h"

#define LABEL_63 "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxy"
#define NAME_253                       \
    LABEL_63 "." LABEL_63 "." LABEL_63 \
             ".abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvw"

struct name_row {
    const char *name;
    const char *text;
    bool valid;
};

static const struct name_row name_rows[] = {
    {"one label", "db", true},
    {"several", "db.example.com", true},
    {"upper case", "My-SQL", true},
    {"underscores of GitLab's first name", "registry__tutum__wordpress", true},
    {"digits first", "3scale", true},
    {"digits in a label before the last", "1.db", true},
    {"longest label", LABEL_63, true},
    {"longest name", NAME_253, true},
    {"longer label", LABEL_63 "z", false},
    {"longer name", NAME_253 "x", false},
    {"empty", "", false},
    {"dot alone", ".", false},
    {"dot at the end", "db.", false},
    {"dot at the beginning", ".db", false},
    {"two dots", "db..x", false},
    {"hyphen first", "-db", false},
    {"hyphen last", "db-", false},
    {"hyphen last in a label", "db-.x", false},
    {"blank", "a b", false},
    {"newline", "a\nb", false},
    {"comment", "a#b", false},
    {"slash", "a/b", false},
    {"colon", "db:5432", false},
    {"not ASCII", "d\xc3\xa4", false},
    {"number", "1234", false},
    {"address", "127.0.0.1", false},
    {"short address", "127.1", false},
    {"hexadecimal", "0x7f000001", false},
    {"hexadecimal prefix alone", "0x", false},
    {"localhost", "localhost", false},
    {"localhost in capitals", "LOCALHOST", false},
    {"below localhost", "db.localhost", false},
    {"localhost with its domain", "localhost.localdomain", false},
    {"beginning with localhost", "localhosts", true},
};

static void test_name(void **state)
{
    const struct name_row *row = *state;
    assert_int_equal(host_name_is_valid(row->text), row->valid);
}

int main(void)
{
    return rows_run(name_rows, test_name);
}
