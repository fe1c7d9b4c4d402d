/* SPDX-License-Identifier: MIT */
#include "driver/aws/xml.h"

#include <errno.h>
#include <expat.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/buffer.h"

#define TEXT_CEILING_BYTES (1UL << 20) /* of one leaf */

/* An open element. */
struct element {
    cJSON *node; /* object or array; NULL: no children yet */
    char name[128];
};

struct reader {
    XML_Parser parser;
    struct element open[XML_DEPTH_CEILING];
    size_t depth;
    size_t elements;
    struct buffer text; /* of the innermost element */
    cJSON *root;
    const char *refusal; /* why parsing stopped; NULL: it did not */
};

static void stop(struct reader *reader, const char *refusal)
{
    reader->refusal = reader->refusal == NULL ? refusal : reader->refusal;
    (void)XML_StopParser(reader->parser, XML_FALSE);
}

static bool is_list_entry(const char *name)
{
    return strcmp(name, "item") == 0 || strcmp(name, "member") == 0;
}

static void on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = context;
    (void)attributes;
    if (reader->depth == XML_DEPTH_CEILING || ++reader->elements > XML_ELEMENT_CEILING) {
        stop(reader,
             reader->depth == XML_DEPTH_CEILING ? "nested too deeply" : "too many elements");
        return;
    }
    struct element *element = &reader->open[reader->depth];
    if (strlen(name) >= sizeof(element->name)) {
        stop(reader, "an element's name is too long");
        return;
    }
    if (reader->depth > 0 && reader->open[reader->depth - 1].node == NULL) {
        bool list = is_list_entry(name);
        cJSON *node = list ? cJSON_CreateArray() : cJSON_CreateObject();
        if (node == NULL) {
            stop(reader, "out of memory");
            return;
        }
        reader->open[reader->depth - 1].node = node;
    }
    element->node = NULL;
    (void)snprintf(element->name, sizeof(element->name), "%s", name);
    reader->depth++;
    buffer_clear(&reader->text);
}

static cJSON *make_leaf(struct reader *reader)
{
    char *text = reader->text.bytes;
    size_t length = reader->text.length;
    if (text == NULL) {
        return cJSON_CreateString("");
    }
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL) {
        text[--length] = '\0';
    }
    return cJSON_CreateString(text + strspn(text, " \t\r\n"));
}

/* Adds a finished element to its parent. Owns the node in every case. */
static bool attach(cJSON *parent, const char *name, cJSON *node)
{
    bool done = cJSON_IsArray(parent) ? cJSON_AddItemToArray(parent, node)
                                      : cJSON_AddItemToObject(parent, name, node);
    if (!done) {
        cJSON_Delete(node);
    }
    return done;
}

/* After a stop, expat still reports the end of an empty element, which is not in 'open'. */
static void on_end(void *context, const XML_Char *name)
{
    struct reader *reader = context;
    if (reader->refusal != NULL) {
        return;
    }
    struct element *element = &reader->open[reader->depth - 1];
    cJSON *node = element->node == NULL ? make_leaf(reader) : element->node;
    (void)name;
    element->node = NULL;
    reader->depth--;
    buffer_clear(&reader->text);
    if (node == NULL) {
        stop(reader, "out of memory");
    } else if (reader->depth == 0) {
        reader->root = node;
    } else if (!attach(reader->open[reader->depth - 1].node, element->name, node)) {
        stop(reader, "out of memory");
    }
}

static void on_text(void *context, const XML_Char *text, int length)
{
    struct reader *reader = context;
    /* Ignores white space between elements. */
    if (reader->depth > 0 && reader->open[reader->depth - 1].node == NULL &&
        buffer_append(&reader->text, text, (size_t)length) < 0) {
        stop(reader, "a text is too long");
    }
}

static void on_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_subset;
    stop(context, "DOCTYPE is not allowed");
}

static void drop(struct reader *reader)
{
    for (size_t i = 0; i < reader->depth; i++) {
        cJSON_Delete(reader->open[i].node);
    }
    cJSON_Delete(reader->root);
    reader->root = NULL;
}

static void run_parser(struct reader *reader, const char *text, size_t length, struct error *err)
{
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    enum XML_Status status = XML_Parse(reader->parser, text, (int)length, XML_TRUE);
    if (status == XML_STATUS_OK && cJSON_IsObject(reader->root)) {
        return;
    }
    const char *why = reader->refusal != NULL   ? reader->refusal
                      : status == XML_STATUS_OK ? "it has no elements"
                                                : XML_ErrorString(XML_GetErrorCode(reader->parser));
    (void)error_set(err, ERROR_PEER, 0, "not valid XML (%zu bytes): %s", length, why);
    drop(reader);
}

cJSON *xml_parse(const char *text, size_t length, struct error *err)
{
    struct reader reader = {.parser = XML_ParserCreate("UTF-8")};
    if (reader.parser == NULL || length > INT32_MAX) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read %zu bytes of XML", length);
        XML_ParserFree(reader.parser);
        return NULL;
    }
    buffer_init(&reader.text, TEXT_CEILING_BYTES);
    run_parser(&reader, text == NULL ? "" : text, length, err);
    buffer_done(&reader.text);
    XML_ParserFree(reader.parser);
    return reader.root;
}

static const cJSON *child(const cJSON *parent, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(parent, name);
}

void xml_read_error(const char *text, size_t length, struct aws_error_body *out)
{
    struct error ignored; /* other bodies leave the struct empty */
    cJSON *root = xml_parse(text, length, &ignored);
    const cJSON *errors = child(root, "Errors");
    const cJSON *error = child(errors == NULL ? root : errors, "Error");
    const char *code = cJSON_GetStringValue(child(error, "Code"));
    const char *message = cJSON_GetStringValue(child(error, "Message"));
    const char *id = cJSON_GetStringValue(child(root, "RequestId"));
    id = id != NULL ? id : cJSON_GetStringValue(child(root, "RequestID"));
    (void)snprintf(out->code, sizeof(out->code), "%s", code == NULL ? "" : code);
    (void)snprintf(out->text, sizeof(out->text), "%s", message == NULL ? "" : message);
    (void)snprintf(out->request_id, sizeof(out->request_id), "%s", id == NULL ? "" : id);
    cJSON_Delete(root);
}
