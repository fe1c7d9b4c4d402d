/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "driver/backend/ecs/client.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"

#define SKEW_REPORTED_S 60

static void give_up(struct doctor *doctor)
{
    aws_client_free(doctor->client);
    doctor->client = NULL;
}

int doctor_find_account(struct doctor *doctor, struct error *err)
{
    struct aws_failure failure;
    cJSON *answer = NULL;
    doctor->client = ecs_client_new(doctor->config, doctor->signals, err);
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
        return error_set(err, ERROR_PEER, 0, "GetCallerIdentity returned no account");
    }
    return 0;
}

void doctor_check_account(struct doctor *doctor)
{
    struct error err = {0};
    doctor_print_heading(doctor, "AWS");
    if (doctor_find_account(doctor, &err) < 0) {
        doctor_report_error(
            doctor, &err,
            err.hint[0] != '\0'
                ? NULL
                : "check the network route to AWS, the proxy variables and AWS_ENDPOINT_URL");
        return;
    }
    doctor_report(doctor, DOCTOR_OK, NULL, "region '%s', account %s",
                  aws_client_region(doctor->client), doctor->account);
    const char *name = strrchr(doctor->caller, ':');
    if (name != NULL && strcmp(name, ":root") == 0) {
        char remedy[128];
        (void)snprintf(remedy, sizeof(remedy),
                       "give the runner host a role with the policy that '%s doctor --policy' "
                       "prints",
                       program_name());
        doctor_report(doctor, DOCTOR_WARN, remedy,
                      "the credentials of %s are those of the account's root user",
                      aws_client_source(doctor->client));
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "credentials of %s: %s",
                      aws_client_source(doctor->client), doctor->caller);
    }
    int64_t skew_s = aws_client_skew_s(doctor->client);
    if (llabs(skew_s) >= SKEW_REPORTED_S) {
        doctor_report(doctor, DOCTOR_WARN, "synchronize it (chrony, systemd-timesyncd)",
                      "this machine's clock is %lld s off", (long long)llabs(skew_s));
    }
}
