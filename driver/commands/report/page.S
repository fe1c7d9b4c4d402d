/* SPDX-License-Identifier: MIT */
/* The page of 'berth-driver report' as bytes; BERTH_REPORT_PAGE comes from the build. */
    .section .rodata.berth_report, "a"
    .global berth_report_page_start
    .hidden berth_report_page_start
berth_report_page_start:
    .incbin BERTH_REPORT_PAGE
.Lend:
    .balign 8
    .global berth_report_page_bytes
    .hidden berth_report_page_bytes
berth_report_page_bytes:
    .quad .Lend - berth_report_page_start
    .section .note.GNU-stack, "", %progbits
