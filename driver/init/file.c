/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"
#include "driver/init/init.h"

/* A basic string: JSON's escapes are TOML's, too. */
static int write_text(struct buffer *out, const char *text)
{
    cJSON *string = cJSON_CreateString(text);
    char *quoted = string == NULL ? NULL : cJSON_PrintUnformatted(string);
    int result = quoted == NULL ? -1 : buffer_append_text(out, quoted);
    cJSON_free(quoted);
    cJSON_Delete(string);
    return result;
}

static int write_list(struct buffer *out, const char *answer)
{
    char words[INIT_ANSWER_BYTES];
    char *rest = words;
    const char *between = "";
    (void)snprintf(words, sizeof(words), "%s", answer);
    int result = buffer_append_text(out, "[");
    while (result == 0 && rest != NULL) {
        const char *word = strsep(&rest, ", \t");
        if (word[0] != '\0') {
            result = buffer_append_text(out, between) < 0 || write_text(out, word) < 0 ? -1 : 0;
            between = ", ";
        }
    }
    return result < 0 ? -1 : buffer_append_text(out, "]");
}

static bool is_number(const char *answer)
{
    return answer[0] != '\0' && answer[strspn(answer, "0123456789.")] == '\0' &&
           isdigit((unsigned char)answer[0]);
}

static int write_value(struct buffer *out, enum init_kind kind, const char *answer)
{
    if (kind == INIT_LIST) {
        return write_list(out, answer);
    }
    if (kind == INIT_BOOL) {
        return buffer_append_text(out, tolower((unsigned char)answer[0]) == 'n' ? "false" : "true");
    }
    return kind == INIT_NUMBER && is_number(answer) ? buffer_append_text(out, answer)
                                                    : write_text(out, answer);
}

static int write_line(struct buffer *out, const struct init_question *question, const char *answer)
{
    return buffer_printf(out, "%s = ", question->key) < 0 ||
                   write_value(out, question->kind, answer) < 0 || buffer_append_text(out, "\n") < 0
               ? -1
               : 0;
}

int init_write_entry(struct buffer *out, const struct init_question *question, const char *answer)
{
    if (question->table != NULL && buffer_printf(out, "[%s]\n", question->table) < 0) {
        return -1;
    }
    return write_line(out, question, answer);
}

/* What is unset, and what was not asked, stands there as a comment. */
static int write_question(struct buffer *out, const struct init_question *question,
                          const char *answer)
{
    const char *shown = answer[0] != '\0' ? answer : question->fallback;
    bool set = answer[0] != '\0';
    if (shown == NULL || shown[0] == '\0') {
        return buffer_printf(out, "# %s\n# %s =\n", question->comment, question->key);
    }
    return buffer_printf(out, "# %s\n%s", question->comment, set ? "" : "# ") < 0
               ? -1
               : write_line(out, question, shown);
}

int init_write_file(const struct init *init, struct buffer *out)
{
    const char *table = NULL;
    int result = buffer_append_text(
        out, "# Settings of berth-driver; its README has all keys. 'berth-driver --config FILE "
             "doctor' checks them.\n");
    for (size_t i = 0; i < init_question_count && result == 0; i++) {
        const struct init_question *question = &init_questions[i];
        if (!init_applies(init, question)) {
            continue;
        }
        if (question->table != NULL && (table == NULL || strcmp(table, question->table) != 0)) {
            table = question->table;
            result = buffer_printf(out, "\n[%s]\n", table);
        }
        result = result < 0 ? -1 : write_question(out, question, init->answers[i]);
    }
    return result;
}
