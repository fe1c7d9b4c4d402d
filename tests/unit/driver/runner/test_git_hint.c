/* SPDX-License-Identifier: MIT */
/* Which scripts run git. */
#include "driver/runner/git_hint.h"
#include "tests/unit/driver/rows.h"
#include "tests/unit/rows.h"

static const struct script_row {
    const char *name, *text;
    bool runs_git;
} scripts[] = {
    {"alone", "git", true},
    {"with arguments", "git clone x", true},
    {"on a later line", "make\n\tgit describe", true},
    {"as the runner writes it", "eval $'export A=1\\ngit fetch\\n'", true},
    {"as the runner prints it", "echo $'\\x1b[32;1m$ git fetch\\x1b[0;m'", true},
    {"after &&", "cd x &&git pull", true},
    {"in a substitution", "v=$(git describe)", true},
    {"in backquotes", "v=`git describe`", true},
    {"after then", "if true; then git pull; fi", true},
    {"after sudo", "sudo git pull", true},
    {"in another shell", "sh -c 'git pull'", true},
    {"installed", "apk add git make", false},
    {"part of a word", "digit x; gitk x; legit y", false},
    {"a file", "./git x; cd .git ; ls /usr/bin/git ", false},
    {"an option", "tool --with git x", false},
    {"word that ends so", "undo git x", false},
    {"empty", "", false},
};

static void finds_git(void **state)
{
    const struct script_row *row = *state;
    size_t length = strlen(row->text);
    char *exact = malloc(length > 0 ? length : 1); /* without a NUL, for the sanitizer */
    assert_non_null(exact);
    memcpy(exact, row->text, length);
    assert_int_equal(git_hint(GIT_HINT_SCRIPT, 127, exact, length) != NULL, row->runs_git);
    assert_null(git_hint(GIT_HINT_SCRIPT, 1, exact, length));
    free(exact);
}

static void each_place_names_the_helper(void **state)
{
    (void)state;
    for (int place = GIT_HINT_GITLABS; place <= GIT_HINT_EXEC; place++) {
        const char *hint = git_hint((enum git_hint_place)place, 127, "git pull", 8);
        assert_non_null(hint);
        assert_non_null(strstr(hint, "[Helper]"));
    }
    assert_non_null(git_hint(GIT_HINT_GITLABS, 127, "", 0));
    assert_null(git_hint(GIT_HINT_GITLABS, 128, "git x", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_place_names_the_helper)};
    int failed = rows_run(scripts, finds_git);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
