/* SPDX-License-Identifier: MIT */
/* In the place of driver/backend/embedded_agent.S: targets start no task. */
#include <stdint.h>

extern const unsigned char berth_embedded_agent_start[1];
extern const uint64_t berth_embedded_agent_bytes;

const unsigned char berth_embedded_agent_start[1];
const uint64_t berth_embedded_agent_bytes;
