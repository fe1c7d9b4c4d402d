/* SPDX-License-Identifier: MIT */
#include "driver/aws/query_form.h"

#include <string.h>

#include "driver/aws/xml.h"

static const struct aws_protocol protocol = {
    .read_answer = xml_parse,
    .read_error = xml_read_error,
};

/* Percent-encodes everything but A-Z a-z 0-9 - . _ ~, as in the canonical form of signatures. */
static int append_encoded(struct buffer *form, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    while (*text != '\0') {
        size_t length = strspn(text, plain);
        if (length > 0 && buffer_append(form, text, length) < 0) {
            return -1;
        }
        text += length;
        if (*text != '\0' && buffer_printf(form, "%%%02X", (unsigned char)*text++) < 0) {
            return -1;
        }
    }
    return 0;
}

static int append_parameter(struct buffer *form, const char *name, const char *value)
{
    return (form->length > 0 && buffer_append_text(form, "&") < 0) ||
                   append_encoded(form, name) < 0 || buffer_append_text(form, "=") < 0 ||
                   append_encoded(form, value) < 0
               ? -1
               : 0;
}

static int write_form(struct buffer *form, enum aws_service service, const char *operation,
                      const char *const *parameters)
{
    if (append_parameter(form, "Action", operation) < 0 ||
        append_parameter(form, "Version", aws_service_row(service)->version) < 0) {
        return -1;
    }
    for (size_t i = 0; parameters != NULL && parameters[i] != NULL; i += 2) {
        if (append_parameter(form, parameters[i], parameters[i + 1]) < 0) {
            return -1;
        }
    }
    return 0;
}

int aws_query_form(struct buffer *form, enum aws_service service, const char *operation,
                   const char *const *parameters, struct aws_exchange *out_exchange,
                   struct error *err)
{
    if (write_form(form, service, operation, parameters) < 0) {
        return error_set(err, ERROR_LIMIT, 0, "cannot write the request %s", operation);
    }
    *out_exchange = (struct aws_exchange){
        .service = service,
        .operation = operation,
        .content_type = "application/x-www-form-urlencoded; charset=utf-8",
        .body = form->bytes,
        .body_length = form->length,
        .protocol = &protocol,
    };
    return 0;
}
