/* SPDX-License-Identifier: MIT */
#include "agent/ipc/terminal_modes.h"

#include <string.h>
#include <sys/param.h>

#include "common/ssh_fields.h"

/* Opcodes from here on have no four-byte argument and end the list, as 0 does. */
#define FIRST_WITHOUT_VALUE 160
#define CHARACTER_DISABLED  255 /* in SSH; the kernel's is _POSIX_VDISABLE */
#define OPCODE_VEOF         5
#define CONTROL_D           4

#ifndef _POSIX_VDISABLE
#define _POSIX_VDISABLE 0
#endif

enum mode_kind { CHARACTER = 1, INPUT, OUTPUT, CONTROL, LOCAL };

/* The rows are by opcode. Modes that Linux does not have (VDSUSP, VFLUSH, VSTATUS) have no row. */
static const struct {
    enum mode_kind kind; /* 0: no such row */
    tcflag_t flag;       /* or the index of the character */
    tcflag_t mask;       /* of a field of several bits; 0: the flag itself */
} rows[] = {
    [1] = {CHARACTER, VINTR, 0},
    [2] = {CHARACTER, VQUIT, 0},
    [3] = {CHARACTER, VERASE, 0},
    [4] = {CHARACTER, VKILL, 0},
    [OPCODE_VEOF] = {CHARACTER, VEOF, 0},
    [6] = {CHARACTER, VEOL, 0},
    [7] = {CHARACTER, VEOL2, 0},
    [8] = {CHARACTER, VSTART, 0},
    [9] = {CHARACTER, VSTOP, 0},
    [10] = {CHARACTER, VSUSP, 0},
    [12] = {CHARACTER, VREPRINT, 0},
    [13] = {CHARACTER, VWERASE, 0},
    [14] = {CHARACTER, VLNEXT, 0},
    [16] = {CHARACTER, VSWTC, 0},
    [18] = {CHARACTER, VDISCARD, 0},
    [30] = {INPUT, IGNPAR, 0},
    [31] = {INPUT, PARMRK, 0},
    [32] = {INPUT, INPCK, 0},
    [33] = {INPUT, ISTRIP, 0},
    [34] = {INPUT, INLCR, 0},
    [35] = {INPUT, IGNCR, 0},
    [36] = {INPUT, ICRNL, 0},
    [37] = {INPUT, IUCLC, 0},
    [38] = {INPUT, IXON, 0},
    [39] = {INPUT, IXANY, 0},
    [40] = {INPUT, IXOFF, 0},
    [41] = {INPUT, IMAXBEL, 0},
    [42] = {INPUT, IUTF8, 0},
    [50] = {LOCAL, ISIG, 0},
    [51] = {LOCAL, ICANON, 0},
    [52] = {LOCAL, XCASE, 0},
    [53] = {LOCAL, ECHO, 0},
    [54] = {LOCAL, ECHOE, 0},
    [55] = {LOCAL, ECHOK, 0},
    [56] = {LOCAL, ECHONL, 0},
    [57] = {LOCAL, NOFLSH, 0},
    [58] = {LOCAL, TOSTOP, 0},
    [59] = {LOCAL, IEXTEN, 0},
    [60] = {LOCAL, ECHOCTL, 0},
    [61] = {LOCAL, ECHOKE, 0},
    [62] = {LOCAL, PENDIN, 0},
    [70] = {OUTPUT, OPOST, 0},
    [71] = {OUTPUT, OLCUC, 0},
    [72] = {OUTPUT, ONLCR, 0},
    [73] = {OUTPUT, OCRNL, 0},
    [74] = {OUTPUT, ONOCR, 0},
    [75] = {OUTPUT, ONLRET, 0},
    [90] = {CONTROL, CS7, CSIZE},
    [91] = {CONTROL, CS8, CSIZE},
    [92] = {CONTROL, PARENB, 0},
    [93] = {CONTROL, PARODD, 0},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void read_modes(struct ssh_fields fields, struct terminal_modes *modes)
{
    uint8_t opcode = 0;
    uint32_t value = 0;
    while (modes->count < TERMINAL_MODES && ssh_fields_byte(&fields, &opcode) && opcode != 0 &&
           opcode < FIRST_WITHOUT_VALUE && ssh_fields_uint32(&fields, &value)) {
        modes->entries[modes->count].opcode = opcode;
        modes->entries[modes->count].value = value;
        modes->count++;
    }
}

bool terminal_modes_read(const void *payload, size_t length, struct terminal_modes *out)
{
    static const char request[] = "pty-req";
    struct ssh_fields fields = {.next = payload, .left = length};
    struct terminal_modes modes = {0};
    uint32_t number = 0;
    uint8_t wants_reply = 0;
    size_t size = 0;
    const unsigned char *name = NULL;
    if (!ssh_fields_uint32(&fields, &number) ||
        (name = ssh_fields_string(&fields, &size)) == NULL || size != sizeof(request) - 1 ||
        memcmp(name, request, size) != 0 || !ssh_fields_byte(&fields, &wants_reply) ||
        ssh_fields_string(&fields, &size) == NULL) { /* the terminal's type */
        return false;
    }
    for (int i = 0; i < 4; i++) { /* its size */
        if (!ssh_fields_uint32(&fields, &number)) {
            return false;
        }
    }
    const unsigned char *bytes = ssh_fields_string(&fields, &size);
    if (bytes == NULL) {
        return false;
    }
    read_modes((struct ssh_fields){.next = bytes, .left = size}, &modes);
    *out = modes;
    return true;
}

static tcflag_t *flags_of(enum mode_kind kind, struct termios *termios)
{
    switch (kind) {
    case INPUT:
        return &termios->c_iflag;
    case OUTPUT:
        return &termios->c_oflag;
    case CONTROL:
        return &termios->c_cflag;
    default:
        return &termios->c_lflag;
    }
}

static void apply(uint32_t opcode, uint32_t value, struct termios *termios)
{
    if (opcode >= ROWS || rows[opcode].kind == 0) {
        return;
    }
    if (rows[opcode].kind == CHARACTER) {
        termios->c_cc[rows[opcode].flag] =
            value >= CHARACTER_DISABLED ? _POSIX_VDISABLE : (cc_t)value;
        return;
    }
    tcflag_t *flags = flags_of(rows[opcode].kind, termios);
    if (value != 0) {
        *flags = (*flags & ~rows[opcode].mask) | rows[opcode].flag;
    } else if (rows[opcode].mask == 0) { /* clearing CS7 or CS8 has no meaning */
        *flags &= ~rows[opcode].flag;
    }
}

void terminal_modes_apply(const struct terminal_modes *modes, struct termios *termios)
{
    for (uint32_t i = 0; i < MIN(modes->count, (uint32_t)TERMINAL_MODES); i++) {
        apply(modes->entries[i].opcode, modes->entries[i].value, termios);
    }
}

int terminal_modes_end_of_input(const struct terminal_modes *modes)
{
    int character = CONTROL_D;
    for (uint32_t i = 0; i < modes->count; i++) {
        if (modes->entries[i].opcode == OPCODE_VEOF) {
            uint32_t value = modes->entries[i].value;
            character = value >= CHARACTER_DISABLED ? -1 : (int)value;
        }
    }
    return character;
}
