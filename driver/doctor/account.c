/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "driver/doctor/doctor.h"
#include "driver/json.h"

#define CALL_MS           20000 /* one call with its retries */
#define SKEW_WORTH_TELL_S 60

int doctor_ecs(struct doctor *doctor, const char *operation, const cJSON *request,
               cJSON **out_answer, struct aws_failure *out_failure, struct error *err)
{
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    return aws_ecs(doctor->client, operation, request, deadline_ms, out_answer, out_failure, err);
}

int doctor_ecr(struct doctor *doctor, const char *region, const char *operation,
               const cJSON *request, cJSON **out_answer, struct aws_failure *out_failure,
               struct error *err)
{
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    return aws_ecr(doctor->client, region, operation, request, deadline_ms, out_answer, out_failure,
                   err);
}

int doctor_query(struct doctor *doctor, enum aws_query_service service, const char *operation,
                 const char *const *parameters, cJSON **out_answer, struct aws_failure *out_failure,
                 struct error *err)
{
    int64_t deadline_ms = clock_earlier_ms(doctor->deadline_ms, clock_deadline_ms(CALL_MS));
    return aws_query(doctor->client, service, operation, parameters, deadline_ms, out_answer,
                     out_failure, err);
}

static void give_up(struct doctor *doctor)
{
    aws_client_free(doctor->client);
    doctor->client = NULL;
}

int doctor_find_account(struct doctor *doctor, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    doctor->client = aws_client_new(doctor->config, doctor->signals, err);
    if (doctor->client == NULL) {
        return -1;
    }
    if (doctor_query(doctor, AWS_STS, "GetCallerIdentity", NULL, &answer, &failure, err) < 0) {
        give_up(doctor);
        return -1;
    }
    const char *arn = json_text_at(answer, "GetCallerIdentityResult.Arn");
    const char *account = json_text_at(answer, "GetCallerIdentityResult.Account");
    (void)snprintf(doctor->caller, sizeof(doctor->caller), "%s", arn == NULL ? "" : arn);
    (void)snprintf(doctor->account, sizeof(doctor->account), "%s", account == NULL ? "" : account);
    cJSON_Delete(answer);
    if (doctor->account[0] == '\0') {
        give_up(doctor);
        return error_set(err, ERROR_PEER, 0, "GetCallerIdentity named no account");
    }
    return 0;
}

void doctor_check_account(struct doctor *doctor)
{
    struct error err = {0};
    doctor_part("AWS");
    if (doctor_find_account(doctor, &err) < 0) {
        doctor_tell_error(doctor, &err,
                          strstr(err.message, "; ") != NULL
                              ? NULL
                              : "look at the network's way to AWS, at the proxy variables and at "
                                "AWS_ENDPOINT_URL");
        return;
    }
    doctor_tell(doctor, DOCTOR_FINE, NULL, "region '%s', account %s",
                aws_client_region(doctor->client), doctor->account);
    const char *name = strrchr(doctor->caller, ':');
    if (name != NULL && strcmp(name, ":root") == 0) {
        doctor_tell(doctor, DOCTOR_ODD,
                    "give the runner's host a role with what 'berth-driver doctor --policy' prints",
                    "the credentials of %s are those of the account's root user",
                    aws_client_source(doctor->client));
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "credentials of %s: %s",
                    aws_client_source(doctor->client), doctor->caller);
    }
    int64_t skew_s = aws_client_skew_s(doctor->client);
    if (llabs(skew_s) >= SKEW_WORTH_TELL_S) {
        doctor_tell(doctor, DOCTOR_ODD, "let it follow a time server (chrony, systemd-timesyncd)",
                    "this machine's clock is %lld s off", (long long)llabs(skew_s));
    }
}
