/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "driver/backend.h"
#include "driver/config_file.h"
#include "driver/init/init.h"

#define ENTRY_BYTES 4096
#define OFFER_BYTES 4096

const char *init_answer(const struct init *init, const char *key)
{
    for (size_t i = 0; i < init_question_count; i++) {
        if (strcmp(init_questions[i].key, key) == 0 && init_applies(init, &init_questions[i])) {
            return init->answers[i];
        }
    }
    return "";
}

bool init_applies(const struct init *init, const struct init_question *question)
{
    /* The first answer is the backend's. */
    return question->backend == NULL || strcasecmp(question->backend, init->answers[0]) == 0;
}

/* One line without its end, cut at 'room'. 1: a line; 0: the input has ended; -1: told to stop. */
static int read_line(struct signals *signals, char *out, size_t room)
{
    size_t length = 0;
    for (;;) {
        char byte = 0;
        if (signals_wait(signals, STDIN_FILENO, CLOCK_NEVER) < 0) {
            return -1;
        }
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got <= 0 || byte == '\n') {
            return got > 0 || length > 0 ? 1 : 0;
        }
        if (length + 1 < room && byte != '\r') {
            out[length++] = byte;
            out[length] = '\0';
        }
    }
}

/* As the driver will read it: the entry alone, in a file of its own. */
static int check_entry(const struct init_question *question, const char *answer, struct error *err)
{
    struct buffer text;
    struct buffer warnings;
    struct config config = {0};
    char path[32];
    cleanup_fd int fd = memfd_create("init", MFD_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    buffer_init(&text, ENTRY_BYTES);
    buffer_init(&warnings, ENTRY_BYTES);
    int result = fd < 0 || init_write_entry(&text, question, answer) < 0 ||
                         fd_write_all(fd, text.bytes, text.length, CLOCK_NEVER) < 0
                     ? error_set(err, ERROR_SYSTEM, errno, "cannot check the answer")
                     : config_file_load(&config, path, &warnings, err);
    config_done(&config);
    buffer_done(&text);
    buffer_done(&warnings);
    return result;
}

static bool is_word(const char *answer, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(answer, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int check_answer(const struct init_question *question, const char *answer, struct error *err)
{
    static const char *const truths[] = {"y", "yes", "true", "n", "no", "false"};
    static const char *const host_keys[] = {"strict", "accept-new"};
    if (question->kind == INIT_BOOL && !is_word(answer, truths, 6)) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is neither yes nor no", answer);
    }
    if (strcmp(question->key, "Backend") == 0 && backend_find(answer) == NULL) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is none of local, docker and ecs", answer);
    }
    if (strcmp(question->key, "HostKey") == 0 && !is_word(answer, host_keys, 2)) {
        return error_set(err, ERROR_USAGE, 0, "'%s' is neither strict nor accept-new", answer);
    }
    return check_entry(question, answer, err);
}

/* The message without the place in a file that the person never saw. */
static void tell_refusal(const struct init_question *question, const struct error *err)
{
    const char *text = strstr(err->message, question->key);
    text = text != NULL ? text + strlen(question->key) : err->message;
    (void)fprintf(stderr, "  no: %s\n", text + strspn(text, ": "));
}

/* The default of this time: what was said on the command line, what stands in the environment, the
 * only thing there is. */
static void find_default(struct init *init, const struct init_question *question,
                         const struct buffer *offers, size_t offered, char *out, size_t room)
{
    const char *region = getenv("AWS_REGION");
    const char *chosen = question->fallback;
    if (strcmp(question->key, "Backend") == 0 && init->config->backend != NULL) {
        chosen = init->config->backend;
    } else if (strcmp(question->key, "Region") == 0 && region != NULL) {
        chosen = region;
    } else if (offered == 1) {
        chosen = offers->bytes;
    } else if (geteuid() != 0 && strcmp(question->key, "Directory") == 0) {
        /* Root's directories are not for others; the settings have theirs already. */
        chosen = strcmp(question->table, "Local") == 0 ? init->config->local_directory
                                                       : init->config->metadata_directory;
    }
    (void)snprintf(out, room, "%s", chosen == NULL ? "" : chosen);
}

static void prompt(const struct init_question *question, const struct buffer *offers,
                   size_t offered, const char *fallback)
{
    if (offered > 0) {
        (void)fprintf(stderr, "  found: %s\n", offers->bytes);
    }
    (void)fprintf(stderr, fallback[0] != '\0' ? "%s [%s] " : "%s%s ", question->question, fallback);
    (void)fflush(stderr);
}

/* 1: answered; 0: ask again. */
static int ask_once(struct init *init, const struct init_question *question, const char *fallback,
                    char *answer, struct error *err)
{
    struct error why = {0};
    char line[INIT_ANSWER_BYTES] = "";
    int got = read_line(init->signals, line, sizeof(line));
    if (got <= 0) {
        return got < 0 ? error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal")
                       : error_set(err, ERROR_USAGE, 0, "the input ended before an answer");
    }
    const char *said = line[0] != '\0' ? line : fallback;
    if (said[0] == '\0' && question->fallback == NULL) {
        (void)fprintf(stderr, "  no: an answer is needed\n");
        return 0;
    }
    if (said[0] != '\0' && check_answer(question, said, &why) < 0) {
        tell_refusal(question, &why);
        return 0;
    }
    (void)snprintf(answer, INIT_ANSWER_BYTES, "%s", said);
    return 1;
}

int init_ask(struct init *init, size_t index, struct error *err)
{
    const struct init_question *question = &init_questions[index];
    struct buffer offers;
    char fallback[INIT_ANSWER_BYTES];
    int answered = 0;
    buffer_init(&offers, OFFER_BYTES);
    size_t offered = init_offer(init, question->offer, &offers);
    find_default(init, question, &offers, offered, fallback, sizeof(fallback));
    while (answered == 0) {
        prompt(question, &offers, offered, fallback);
        answered = ask_once(init, question, fallback, init->answers[index], err);
    }
    buffer_done(&offers);
    return answered < 0 ? error_wrap(err, "'%s'", question->question) : 0;
}
