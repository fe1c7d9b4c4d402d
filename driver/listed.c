/* SPDX-License-Identifier: MIT */
#include "driver/listed.h"

#include <stdio.h>
#include <string.h>

static int64_t age_s(const struct backend_listed *listed, int64_t now_s)
{
    int64_t age = now_s - listed->started_at_s;
    return age < 0 ? 0 : age;
}

void listed_age(const struct backend_listed *listed, int64_t now_s, char *out, size_t room)
{
    long long age = (long long)age_s(listed, now_s);
    if (listed->started_at_s == 0) {
        (void)snprintf(out, room, "-");
    } else if (age < 60) {
        (void)snprintf(out, room, "%llds", age);
    } else if (age < 3600) {
        (void)snprintf(out, room, "%lldm", age / 60);
    } else if (age < 86400) {
        (void)snprintf(out, room, "%lldh%02lldm", age / 3600, age / 60 % 60);
    } else {
        (void)snprintf(out, room, "%lldd%02lldh", age / 86400, age / 3600 % 24);
    }
}

void listed_cost(const struct backend_listed *listed, const struct config_price *price,
                 int64_t now_s, char *out, size_t room)
{
    double hour = listed->vcpus * price->vcpu_hour + listed->memory_gib * price->gib_hour;
    if (!(hour > 0) || listed->started_at_s == 0) {
        (void)snprintf(out, room, "-");
        return;
    }
    double hours = (double)age_s(listed, now_s) / 3600;
    (void)snprintf(out, room, "%.4f", hour * hours * (listed->spot ? price->spot_factor : 1));
}

bool listed_known(const struct backend_listed *listed, const struct config *config, int64_t now_s)
{
    if (strncmp(listed->job, "exec-", 5) == 0) {
        return listed->started_at_s == 0 || age_s(listed, now_s) < LISTED_EXEC_AGE_S;
    }
    return listed->job[0] == '\0' || (metadata_exists(config->metadata_directory, listed->job) &&
                                      !metadata_noted_end(config->metadata_directory, listed->job));
}
