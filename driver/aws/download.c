/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "driver/aws/client.h"

#define DOWNLOAD_STALL_MS (15 * 1000)

int aws_download(struct aws_client *client, const char *url, int64_t deadline_ms,
                 struct buffer *out_body, struct error *err)
{
    struct http_answer answer = {.body = *out_body, .failure = HTTP_NOT_SENT};
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .deadline_ms = deadline_ms,
                                   .stall_ms = DOWNLOAD_STALL_MS,
                                   .signals = client->signals};
    int result = http_call(client->http, &request, &answer, err);
    *out_body = answer.body;
    if (result == 0 && answer.status != 200) {
        result = error_set(err, ERROR_PEER, 0, "HTTP %d instead of the file", answer.status);
    }
    return result;
}
