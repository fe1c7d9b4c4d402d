/* SPDX-License-Identifier: MIT */
#include "common/signal_names.h"

#include <signal.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
    bool in_ssh;
} signals[] = {
    {"ABRT", SIGABRT, true},  {"ALRM", SIGALRM, true},    {"BUS", SIGBUS, false},
    {"CHLD", SIGCHLD, false}, {"CONT", SIGCONT, false},   {"FPE", SIGFPE, true},
    {"HUP", SIGHUP, true},    {"ILL", SIGILL, true},      {"INT", SIGINT, true},
    {"IO", SIGIO, false},     {"KILL", SIGKILL, true},    {"PIPE", SIGPIPE, true},
    {"PWR", SIGPWR, false},   {"QUIT", SIGQUIT, true},    {"SEGV", SIGSEGV, true},
    {"STOP", SIGSTOP, false}, {"SYS", SIGSYS, false},     {"TERM", SIGTERM, true},
    {"TRAP", SIGTRAP, false}, {"TSTP", SIGTSTP, false},   {"TTIN", SIGTTIN, false},
    {"TTOU", SIGTTOU, false}, {"URG", SIGURG, false},     {"USR1", SIGUSR1, true},
    {"USR2", SIGUSR2, true},  {"WINCH", SIGWINCH, false}, {"XCPU", SIGXCPU, false},
    {"XFSZ", SIGXFSZ, false},
};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

int signal_number(const char *name, size_t length)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        if (strlen(signals[i].name) == length && memcmp(signals[i].name, name, length) == 0) {
            return signals[i].number;
        }
    }
    return 0;
}

const char *signal_name(int number)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        if (signals[i].number == number) {
            return signals[i].name;
        }
    }
    return NULL;
}

bool signal_is_in_ssh(int number)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        if (signals[i].number == number) {
            return signals[i].in_ssh;
        }
    }
    return false;
}
