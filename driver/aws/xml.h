/* SPDX-License-Identifier: MIT */
/*
 * xml.h - the XML answers of EC2, STS and IAM as trees of cJSON.
 *
 * The root element becomes the object that is returned. An element with children is an object, a
 * leaf a string without surrounding white space (so is an empty list), and an element whose first
 * child is an 'item' or 'member' an array. Of several elements of one name cJSON finds the first.
 * Attributes are dropped.
 * Documents with a DOCTYPE are refused: entities allow XML bombs, and AWS does not use them. Depth
 * and elements have ceilings. The caller deletes the tree.
 */
#ifndef BERTH_DRIVER_AWS_XML_H
#define BERTH_DRIVER_AWS_XML_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "common/error.h"
#include "driver/aws/failure.h"

#define XML_DEPTH_CEILING   32
#define XML_ELEMENT_CEILING 200000

cJSON *xml_parse(const char *text, size_t length, struct error *err);

/* An error body of the query protocol: <Response><Errors><Error> of EC2, <ErrorResponse><Error> of
 * the others. */
void xml_read_error(const char *text, size_t length, struct aws_error_body *out);

#endif
