/* SPDX-License-Identifier: MIT */
#include "driver/base/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "driver/base/terminal.h"

#define LINE_MS       10000
#define DRAW_MS       100
#define BAR_LONGEST   40
#define BAR_SHORTEST  10
#define BAR_EDGES     3 /* "[", "]" and a blank */
#define USUAL_WIDTH   80
#define FIGURES_BYTES 160
#define MIB           (1024.0 * 1024)

void progress_begin(struct progress *progress, const char *what)
{
    bool on_terminal = log_has_terminal();
    *progress = (struct progress){.what = what,
                                  .on_terminal = on_terminal,
                                  .next_ms = clock_deadline_ms(on_terminal ? 0 : LINE_MS)};
}

/* "12.5 of 40.0 MiB, 3 of 7 layers" */
static void figures(const struct progress_state *state, char out[FIGURES_BYTES])
{
    char whole[32] = "";
    if (state->of_bytes > 0) {
        (void)snprintf(whole, sizeof(whole), " of %.1f", (double)state->of_bytes / MIB);
    }
    (void)snprintf(out, FIGURES_BYTES, "%.1f%s MiB%s%s",
                   state->bytes > 0 ? (double)state->bytes / MIB : 0, whole,
                   state->note == NULL ? "" : ", ", state->note == NULL ? "" : state->note);
}

void progress_bar(const struct progress_state *state, size_t columns, char out[PROGRESS_TEXT_BYTES])
{
    char text[FIGURES_BYTES];
    char line[FIGURES_BYTES + 16];
    char done[BAR_LONGEST + 1] = "";
    double part = state->part >= 0 && state->part <= 1 ? state->part : 0;
    figures(state, text);
    size_t length = (size_t)snprintf(line, sizeof(line), "%3d%%  %s", (int)(part * 100), text);
    size_t room = columns > length + BAR_EDGES + 1 ? columns - length - BAR_EDGES - 1 : 0;
    room = room < BAR_LONGEST ? room : BAR_LONGEST;
    if (room < BAR_SHORTEST) {
        size_t most = columns > 0 ? columns - 1 : 0;
        (void)snprintf(out, PROGRESS_TEXT_BYTES, "%.*s", (int)most, line);
        return;
    }
    size_t filled = (size_t)((double)room * part);
    memset(done, '=', filled);
    if (filled < room) {
        done[filled] = '>';
    }
    (void)snprintf(out, PROGRESS_TEXT_BYTES, "[%-*s] %s", (int)room, done, line);
}

void progress_update(struct progress *progress, const struct progress_state *state)
{
    if (clock_now_ms() < progress->next_ms) {
        return;
    }
    progress->next_ms = clock_deadline_ms(progress->on_terminal ? DRAW_MS : LINE_MS);
    if (progress->on_terminal) {
        char bar[PROGRESS_TEXT_BYTES];
        size_t width = terminal_width(STDERR_FILENO);
        progress_bar(state, width > 0 ? width : USUAL_WIDTH, bar);
        log_status(bar);
    } else {
        char text[FIGURES_BYTES];
        figures(state, text);
        log_info("%s: %s", progress->what, text);
    }
}

void progress_end(struct progress *progress)
{
    if (progress->on_terminal) {
        log_status(NULL);
    }
    progress->on_terminal = false;
}
