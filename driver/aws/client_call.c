/* SPDX-License-Identifier: MIT */
/* Calls with the client's own credentials, which are found before the first one and kept fresh. */
#include "common/log.h"
#include "driver/aws/client.h"
#include "driver/aws/exchange.h"
#include "driver/aws/search.h"

#define REFRESH_BEFORE_S (15 * 60)

/* Finds the client's credentials, or refreshes them before they expire. If a refresh fails while
 * the old ones are valid, the next call tries again. */
static int refresh_credentials(struct aws_client *client, bool force, int64_t deadline_ms,
                               struct error *err)
{
    struct aws_credentials *held = &client->credentials;
    int64_t left_s = held->expires_s - aws_client_now_s(client);
    bool due = held->key_id == NULL || (held->expires_s != 0 && left_s < REFRESH_BEFORE_S);
    if (!due && !force) {
        return 0;
    }
    struct aws_credentials fresh = {0};
    if (aws_credentials_find(client, deadline_ms, &fresh, err) < 0) {
        if (held->key_id == NULL || force || left_s <= 0) {
            return -1;
        }
        char text[ERROR_TEXT_BYTES];
        log_warn("%s, using the old credentials, which are valid for %lld s", error_text(err, text),
                 (long long)left_s);
        return 0;
    }
    aws_credentials_done(held);
    *held = fresh;
    log_debug("credentials from %s%s", held->source,
              held->expires_s == 0 ? "" : ", to be refreshed");
    return 0;
}

static int choose_credentials(struct aws_call *call, bool force, struct error *err)
{
    if (refresh_credentials(call->client, force, call->deadline_ms, err) < 0) {
        call->failure.permanent = err->kind == ERROR_USAGE;
        return -1;
    }
    call->credentials = &call->client->credentials;
    return 0;
}

int aws_client_call(struct aws_client *client, const struct aws_exchange *exchange,
                    int64_t deadline_ms, cJSON **out_answer, struct aws_failure *out_failure,
                    struct error *err)
{
    struct aws_call call = {.client = client, .exchange = exchange, .deadline_ms = deadline_ms};
    int result = aws_exchange_open(&call, err) < 0 || choose_credentials(&call, false, err) < 0
                     ? -1
                     : aws_exchange_run(&call, out_answer, err);
    if (result < 0 && call.expired) {
        result = choose_credentials(&call, true, err) < 0
                     ? -1
                     : aws_exchange_run(&call, out_answer, err);
    }
    if (result < 0) {
        *out_failure = call.failure;
    }
    return result;
}
