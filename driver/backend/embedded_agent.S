/* SPDX-License-Identifier: MIT */
/* The agent's program file as bytes; BERTH_AGENT_FILE comes from the build. */
    .section .rodata.berth_agent, "a"
    .balign 16
    .global berth_embedded_agent_start
    .hidden berth_embedded_agent_start
berth_embedded_agent_start:
    .incbin BERTH_AGENT_FILE
.Lend:
    .balign 8
    .global berth_embedded_agent_bytes
    .hidden berth_embedded_agent_bytes
berth_embedded_agent_bytes:
    .quad .Lend - berth_embedded_agent_start
    .section .note.GNU-stack, "", %progbits
