/* SPDX-License-Identifier: MIT */
/* The bootstrap, run by real shells as the agent starts them, and the signs that they give. */
#include "driver/record/keys.h"
#include "driver/remote/script_bootstrap.h"
#include "tests/unit/driver/rows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define OUTPUT_CEILING_BYTES (64UL << 10)

struct shell {
    const char *name;
    const char *argv[4];                         /* in front of the command */
    const char *path;                            /* PATH for it: one with or without bash */
    enum { PIPE, SOCKET, FILE_IN_MEMORY } input; /* the last is the agent's */
};

static char bin_without_bash[128];
static char bin_with_false_cat[128];

/* A PATH in which cat is the only program makes the bootstrap stay in the login shell. */
static const struct shell shells[] = {
    {"bash", {"/bin/bash", "-c"}, NULL, PIPE},
    {"sh", {"/bin/sh", "-c"}, NULL, PIPE},
    {"sh alone", {"/bin/sh", "-c"}, bin_without_bash, PIPE},
    {"dash alone", {"/bin/dash", "-c"}, bin_without_bash, PIPE},
    {"busybox alone", {"/bin/busybox", "sh", "-c"}, bin_without_bash, PIPE},
    {"bash as sh", {"/bin/bash", "--posix", "-c"}, bin_without_bash, PIPE},
    {"bash with a socket", {"/bin/bash", "-c"}, NULL, SOCKET},
    {"bash with a file", {"/bin/bash", "-c"}, NULL, FILE_IN_MEMORY},
    {"sh with a file", {"/bin/sh", "-c"}, bin_without_bash, FILE_IN_MEMORY},
};

static int make_path(void **state)
{
    char link[160];
    if (rows_make_directory(state) < 0) {
        return -1;
    }
    (void)snprintf(bin_without_bash, sizeof(bin_without_bash), "%s/bin", rows_directory);
    (void)snprintf(bin_with_false_cat, sizeof(bin_with_false_cat), "%s/false", rows_directory);
    (void)snprintf(link, sizeof(link), "%s/cat", bin_without_bash);
    if (fd_make_directories(bin_without_bash, 0700, NULL) < 0 || symlink("/bin/cat", link) < 0) {
        return -1;
    }
    (void)snprintf(link, sizeof(link), "%s/cat", bin_with_false_cat);
    return fd_make_directories(bin_with_false_cat, 0700, NULL) < 0 ? -1
                                                                   : symlink("/bin/false", link);
}

static int make(const char *text, size_t length, struct script_bootstrap *script, struct error *err)
{
    return script_bootstrap_read(rows_file("script", text, length), script, err);
}

__attribute__((noreturn)) static void become_shell(const struct shell *shell, const char *command,
                                                   int input, int output)
{
    const char *argv[6];
    size_t count = 0;
    while (shell->argv[count] != NULL) {
        argv[count] = shell->argv[count];
        count++;
    }
    argv[count] = command;
    argv[count + 1] = NULL;
    (void)dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    (void)dup2(input, 3);
    (void)dup2(output, STDOUT_FILENO);
    (void)dup2(output, STDERR_FILENO);
    (void)setenv("LC_ALL", "C", 1);
    (void)setenv("berth_s", "from the image", 1);
    if (shell->path != NULL) {
        (void)setenv("PATH", shell->path, 1);
    }
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Takes the signs off the front of the output; returns how many there were. */
static int take_signs(const struct script_bootstrap *script, struct buffer *output)
{
    for (int stage = 0; stage < 2; stage++) {
        char sign[2 * BEGIN_SIGN_HALF_BYTES];
        (void)snprintf(sign, sizeof(sign), "%s%s", script->sign.halves[stage],
                       script->sign.halves[1 - stage]);
        if (output->bytes == NULL || strncmp(output->bytes, sign, strlen(sign)) != 0) {
            return stage;
        }
        buffer_consume(output, strlen(sign));
    }
    return 2;
}

/* The end that the shell reads, and the one for the script; -1: it has been written. */
static void open_input(const struct shell *shell, const struct script_bootstrap *script,
                       size_t length, int out_input[2])
{
    switch (shell->input) {
    case PIPE:
        assert_int_equal(pipe2(out_input, O_CLOEXEC), 0);
        break;
    case SOCKET:
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out_input), 0);
        break;
    case FILE_IN_MEMORY:
        out_input[0] = memfd_create("script", MFD_CLOEXEC);
        out_input[1] = -1;
        assert_int_equal(
            fd_write_all(out_input[0], script->input.bytes, length, clock_deadline_ms(60000)), 0);
        assert_int_equal(lseek(out_input[0], 0, SEEK_SET), 0);
        break;
    }
}

/* Gives 'length' bytes of the framed input to the shell; returns its exit status. */
static int run(const struct shell *shell, const struct script_bootstrap *script, size_t length,
               struct buffer *output)
{
    int input[2], result[2];
    open_input(shell, script, length, input);
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    pid_t reader = fork();
    if (reader == 0) {
        become_shell(shell, script->words.bytes + 1, input[0], result[1]);
    }
    (void)close(input[0]);
    (void)close(result[1]);
    pid_t writer = fork(); /* so that neither side can wait for the other for ever */
    if (writer == 0) {
        if (input[1] >= 0) {
            (void)fd_write_all(input[1], script->input.bytes, length, clock_deadline_ms(60000));
        }
        _exit(0);
    }
    (void)close(input[1]);
    char chunk[4096];
    ssize_t got;
    while ((got = read(result[0], chunk, sizeof(chunk))) > 0) {
        assert_int_equal(buffer_append(output, chunk, (size_t)got), 0);
    }
    (void)close(result[0]);
    int status = 0;
    (void)waitpid(writer, NULL, 0);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void scripts_run_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *output;
        int status;
    } rows[] = {
        {"empty", "", "", 0},
        {"one line", "echo hello\n", "hello\n", 0},
        {"no newline at the end", "echo hello", "hello\n", 0},
        {"hash bang", "#!/usr/bin/env bash\n\necho $((20 + 3))\n", "23\n", 0},
        {"exit 42", "exit 42\necho no\n", "", 42},
        {"last status", "false\n", "", 1},
        {"errexit", "set -e\nfalse\necho no\n", "", 1},
        {"cat cannot swallow", "cat\necho after\n", "after\n", 0},
        {"read cannot swallow", "read x\necho \"<$x>\"\n", "<>\n", 0},
        {"subshell reads", ": | (cat; exit 7)\n", "", 7},
        {"quotes", "echo \"it's\" '\"$x\"' \\\\\n", "it's \"$x\" \\\n", 0},
        {"here document", "cat <<X\na\nb\nX\n", "a\nb\n", 0},
        {"trap on exit", "trap 'echo bye' EXIT\nexit 3\n", "bye\n", 3},
        {"function and return", "f() { return 9; }\nf\n", "", 9},
        {"blank lines kept", "x='a\n\n\nb\n'\necho \"$x\"\n", "a\n\n\nb\n\n", 0},
        {"no variable of ours",
         "set | { n=0; while read -r l; do case $l in berth_*) echo \"$l\" "
         ";; esac; done; }\n",
         "", 0},
        {"killed", "kill -9 $$\n", "", 137},
    };
    for (size_t s = 0; s < ROW_COUNT(shells); s++) {
        for (size_t i = 0; i < ROW_COUNT(rows); i++) {
            struct script_bootstrap script;
            struct buffer output;
            buffer_init(&output, OUTPUT_CEILING_BYTES);
            assert_int_equal(make(rows[i].text, strlen(rows[i].text), &script, NULL), 0);
            int status = run(&shells[s], &script, script.input.length, &output);
            int signs = take_signs(&script, &output);
            const char *found = output.bytes == NULL ? "" : output.bytes;
            if (signs != 2 || status != rows[i].status || strcmp(found, rows[i].output) != 0) {
                fail_msg("%s, %s: status %d, output '%s'", shells[s].name, rows[i].name, status,
                         found);
            }
            buffer_done(&output);
            script_bootstrap_done(&script);
        }
    }
}

/* Every prefix of the input but the whole must be refused, without a line of it running. */
static void a_cut_off_script_is_never_started(void **state)
{
    (void)state;
    static const char text[] = "echo started\necho berth-0123456789 again\n";
    for (size_t s = 0; s < ROW_COUNT(shells); s++) {
        struct script_bootstrap script;
        assert_int_equal(make(text, strlen(text), &script, NULL), 0);
        for (size_t length = 0; length < script.input.length; length += 7) {
            struct buffer output;
            buffer_init(&output, OUTPUT_CEILING_BYTES);
            int status = run(&shells[s], &script, length, &output);
            if (take_signs(&script, &output) != 1 || status != SCRIPT_BOOTSTRAP_CUT_OFF_STATUS ||
                strstr(output.bytes, "started\n") == output.bytes) {
                fail_msg("%s: %zu of %zu bytes: status %d, output '%s'", shells[s].name, length,
                         script.input.length, status, output.bytes);
            }
            rows_assert_contains(shells[s].name, output.bytes, "cut off in transit");
            buffer_done(&output);
        }
        script_bootstrap_done(&script);
    }
}

static void large_scripts_arrive(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 8UL << 20);
    while (text.length < 5UL << 20) {
        assert_int_equal(buffer_append_text(&text, ": 'padding \xc3\xa9 padding padding'\n"), 0);
    }
    assert_int_equal(buffer_append_text(&text, "echo end; exit 5\n"), 0);
    for (size_t s = 0; s < ROW_COUNT(shells); s++) {
        struct script_bootstrap script;
        struct buffer output;
        buffer_init(&output, OUTPUT_CEILING_BYTES);
        assert_int_equal(make(text.bytes, text.length, &script, NULL), 0);
        int status = run(&shells[s], &script, script.input.length, &output);
        assert_int_equal(take_signs(&script, &output), 2);
        if (status != 5 || strcmp(output.bytes, "end\n") != 0) {
            fail_msg("%s: status %d, output '%s'", shells[s].name, status, output.bytes);
        }
        buffer_done(&output);
        script_bootstrap_done(&script);
    }
    buffer_done(&text);
}

static void a_missing_cat_is_named(void **state)
{
    (void)state;
    static const struct shell shell = {"no cat", {"/bin/dash", "-c"}, "/nonexistent", PIPE};
    struct script_bootstrap script;
    struct buffer output;
    buffer_init(&output, OUTPUT_CEILING_BYTES);
    assert_int_equal(make("echo x", 6, &script, NULL), 0);
    assert_int_equal(run(&shell, &script, script.input.length, &output), 127);
    rows_assert_contains("no cat", output.bytes, "no cat in PATH");
    buffer_done(&output);
    script_bootstrap_done(&script);
}

/* A process less for each script. */
static void only_other_shells_start_cat(void **state)
{
    (void)state;
    static const struct {
        struct shell shell;
        int status;
    } rows[] = {
        {{"bash", {"/bin/bash", "-c"}, bin_with_false_cat, FILE_IN_MEMORY}, 5},
        {{"bash -e with a socket", {"/bin/bash", "-ec"}, NULL, SOCKET}, 5},
        {{"dash", {"/bin/dash", "-c"}, bin_with_false_cat, FILE_IN_MEMORY},
         SCRIPT_BOOTSTRAP_CUT_OFF_STATUS},
    };
    struct script_bootstrap script;
    assert_int_equal(make("exit 5", 6, &script, NULL), 0);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct buffer output;
        buffer_init(&output, OUTPUT_CEILING_BYTES);
        int status = run(&rows[i].shell, &script, script.input.length, &output);
        if (status != rows[i].status) {
            fail_msg("%s: status %d, output '%s'", rows[i].shell.name, status, output.bytes);
        }
        buffer_done(&output);
    }
    script_bootstrap_done(&script);
}

static void the_command_does_not_show_the_script(void **state)
{
    (void)state;
    struct script_bootstrap script, again;
    struct error err = {0};
    assert_int_equal(make("echo secret", 11, &script, NULL), 0);
    assert_int_equal(make("echo secret", 11, &again, NULL), 0);
    assert_null(strstr(script.command.bytes, "secret"));
    assert_null(strstr(script.words.bytes + 1, "secret"));
    assert_string_not_equal(script.command.bytes, again.command.bytes); /* another marker */
    script_bootstrap_done(&script);
    script_bootstrap_done(&again);
    assert_int_equal(make("a\0b", 3, &script, &err), -1);
    rows_assert_contains("NUL", err.message, "NUL byte");
    assert_int_equal(script_bootstrap_read("/nonexistent/script", &script, &err), -1);
    rows_assert_contains("missing", err.message, "'/nonexistent/script'");
    assert_int_equal(err.kind, ERROR_SYSTEM);
    script_bootstrap_done(&script);
}

/* Two pipes as standard output and standard error, which hold what begin_sign_take() passed on. */
struct sinks {
    int ends[2][2];
    struct output outputs[2];
};

static void open_sinks(struct sinks *sinks)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe2(sinks->ends[i], O_CLOEXEC), 0);
        output_open(&sinks->outputs[i], sinks->ends[i][1]);
    }
}

/* What came out, and no more of it comes. */
static void assert_sink(struct sinks *sinks, int which, const char *row, const char *wanted)
{
    char found[4096];
    output_done(&sinks->outputs[which]);
    (void)close(sinks->ends[which][1]);
    ssize_t got = read(sinks->ends[which][0], found, sizeof(found) - 1);
    assert_true(got >= 0);
    found[got] = '\0';
    (void)close(sinks->ends[which][0]);
    if (strcmp(found, wanted) != 0) {
        fail_msg("%s: '%s' instead of '%s'", row, found, wanted);
    }
}

/* R and B in a row stand for the signs, r and b for them less their last byte. */
static void spell(const char *pattern, char *out, size_t room)
{
    static const char ready[] = "0001000000010001", begun[] = "aaaabbbbccccdddd";
    size_t length = 0;
    for (; *pattern != '\0'; pattern++) {
        int cut = *pattern == 'r' || *pattern == 'b';
        bool first = *pattern == 'R' || *pattern == 'r';
        if (strchr("RrBb", *pattern) == NULL) {
            out[length++] = *pattern;
            continue;
        }
        length += (size_t)snprintf(out + length, room - length, "%s%s", first ? ready : begun,
                                   first ? begun : ready) -
                  (size_t)cut;
    }
    out[length] = '\0';
}

static void signs_are_taken_out(void **state)
{
    (void)state;
    static const struct {
        const char *name, *input, *out, *err;
        bool seen;
    } rows[] = {
        {"both, then output", "RBout", "out", "", true},
        {"noise before, between", "noise\nRmore\nBout\n", "out\n", "noise\nmore\n", true},
        {"nothing after", "RB", "", "", true},
        {"output that looks like them", "RBRBrb", "RBrb", "", true},
        {"none", "noise", "", "noise", PIPE},
        {"the first alone", "xRy", "", "xy", PIPE},
        {"the second alone", "xBy", "", "xBy", PIPE},
        {"nearly the first", "r!RB.", ".", "r!", true},
        {"begins twice", "rRB.", ".", "r", true},
        {"begins as its middle does", "0000001RB.", ".", "0000001", true},
        {"cut off", "noise r", "", "noise r", PIPE},
        {"cut off in the second", "Rb", "", "b", PIPE},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        for (size_t piece = 1; piece < 80; piece += 1 + piece / 4) {
            struct begin_sign sign = {.halves = {"0001000000010001", "aaaabbbbccccdddd"}};
            struct sinks sinks;
            char input[512], wanted[2][512];
            spell(rows[i].input, input, sizeof(input));
            spell(rows[i].out, wanted[0], sizeof(wanted[0]));
            spell(rows[i].err, wanted[1], sizeof(wanted[1]));
            open_sinks(&sinks);
            size_t length = strlen(input);
            for (size_t at = 0; at < length; at += piece) {
                int blocked = -1;
                size_t part = length - at < piece ? length - at : piece;
                assert_int_equal(begin_sign_take(&sign, input + at, part, sinks.outputs, &blocked),
                                 part);
            }
            assert_int_equal(begin_sign_end(&sign, sinks.outputs), rows[i].seen);
            assert_sink(&sinks, 0, rows[i].name, wanted[0]);
            assert_sink(&sinks, 1, rows[i].name, wanted[1]);
        }
    }
}

/* Neither the text, nor its parts in any order that a trace prints them. */
static void no_text_holds_a_sign(void **state)
{
    (void)state;
    struct script_bootstrap script;
    assert_int_equal(make("echo x", 6, &script, NULL), 0);
    for (int stage = 0; stage < 2; stage++) {
        char sign[2 * BEGIN_SIGN_HALF_BYTES];
        (void)snprintf(sign, sizeof(sign), "%s%s", script.sign.halves[stage],
                       script.sign.halves[1 - stage]);
        assert_null(strstr(script.command.bytes, sign));
        assert_null(strstr(script.words.bytes + 1, sign));
        assert_null(memmem(script.input.bytes, script.input.length, sign, strlen(sign)));
    }
    script_bootstrap_done(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_run_as_written),
        cmocka_unit_test(signs_are_taken_out),
        cmocka_unit_test(no_text_holds_a_sign),
        cmocka_unit_test(a_cut_off_script_is_never_started),
        cmocka_unit_test(large_scripts_arrive),
        cmocka_unit_test(a_missing_cat_is_named),
        cmocka_unit_test(only_other_shells_start_cat),
        cmocka_unit_test(the_command_does_not_show_the_script),
    };
    if (keys_init(NULL) < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, make_path, rows_remove_directory);
}
