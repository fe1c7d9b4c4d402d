/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/client.h"

struct aws_client *ecs_client_new(const struct config *config, struct signals *signals,
                                  struct error *err)
{
    struct aws_options options = {
        .region = config->fargate.region,
        .profile = config->aws_profile,
        .session_tags = config->aws_session_tags.entries,
        .session_tag_count = config->aws_session_tags.count,
    };
    return aws_client_new(&options, signals, err);
}
