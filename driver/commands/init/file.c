/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "driver/base/program.h"
#include "driver/commands/init/init.h"
#include "driver/config/schema.h"

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

/* A number that is not valid becomes a string, which the loader refuses. */
static int write_line(struct buffer *out, const struct init_question *question, const char *answer)
{
    const struct schema_row *row = schema_find(question->section, question->key);
    int result = buffer_printf(out, "%s = ", question->key);
    if (result == 0) {
        switch (row->type) {
        case SCHEMA_LIST:
        case SCHEMA_PATTERNS:
        case SCHEMA_IMAGES:
            result = write_list(out, answer);
            break;
        case SCHEMA_BOOL:
        case SCHEMA_TRISTATE:
            result = buffer_append_text(out, tolower((unsigned char)answer[0]) == 'n' ? "false"
                                                                                      : "true");
            break;
        case SCHEMA_INTEGER:
        case SCHEMA_NUMBER:
        case SCHEMA_CPUS:
            result = is_number(answer) ? buffer_append_text(out, answer) : write_text(out, answer);
            break;
        default:
            result = write_text(out, answer);
        }
    }
    return result < 0 ? -1 : buffer_append_text(out, "\n");
}

int init_write_entry(struct buffer *out, const struct init_question *question, const char *answer)
{
    if (question->section != NULL && buffer_printf(out, "[%s]\n", question->section) < 0) {
        return -1;
    }
    return write_line(out, question, answer);
}

/* A key that is unset or was not asked about is written as a comment. */
static int write_question(struct buffer *out, const struct init_question *question,
                          const char *answer)
{
    const char *meaning = schema_find(question->section, question->key)->meaning;
    const char *shown = answer[0] != '\0' ? answer : question->fallback;
    bool set = answer[0] != '\0';
    if (shown == NULL || shown[0] == '\0') {
        return buffer_printf(out, "# %s\n# %s =\n", meaning, question->key);
    }
    return buffer_printf(out, "# %s\n%s", meaning, set ? "" : "# ") < 0
               ? -1
               : write_line(out, question, shown);
}

/* Whether a question before this one has its section. */
static bool section_is_written(const struct init_dialog *init, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (init_applies(init, &init_questions[i]) &&
            schema_same_section(init_questions[i].section, init_questions[index].section)) {
            return true;
        }
    }
    return false;
}

/* The section of a question, with all that it has from there on. */
static int write_section(const struct init_dialog *init, size_t index, struct buffer *out)
{
    const char *section = init_questions[index].section;
    int result = section == NULL ? 0 : buffer_printf(out, "\n[%s]\n", section);
    for (size_t i = index; i < init_question_count && result == 0; i++) {
        if (init_applies(init, &init_questions[i]) &&
            schema_same_section(init_questions[i].section, section)) {
            result = write_question(out, &init_questions[i], init->answers[i]);
        }
    }
    return result;
}

int init_write_file(const struct init_dialog *init, struct buffer *out)
{
    int result = buffer_printf(out,
                               "# Configuration of berth-driver. '%s help config' lists all keys;\n"
                               "# '%s --config FILE doctor' checks this file.\n",
                               program_name(), program_name());
    for (size_t i = 0; i < init_question_count && result == 0; i++) {
        if (init_applies(init, &init_questions[i]) && !section_is_written(init, i)) {
            result = write_section(init, i, out);
        }
    }
    return result;
}
