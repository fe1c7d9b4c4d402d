/* SPDX-License-Identifier: MIT */
#include "driver/task/task_command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "common/jobwire.h"
#include "driver/remote/exec.h"
#include "driver/remote/shell_quote.h"

/* A file in memory that cannot grow: a container that floods it fills no memory of ours. */
static int open_capture(size_t room, struct error *err)
{
    cleanup_fd int fd = fd_memory_file("berth-output", MFD_ALLOW_SEALING, err);
    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, (off_t)room) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot capture the output of a command");
    }
    return steal_fd(&fd);
}

static int read_capture(int fd, char *out_text, size_t room, struct error *err)
{
    off_t end = lseek(fd, 0, SEEK_CUR);
    size_t length = end < 0 || (size_t)end >= room ? room - 1 : (size_t)end;
    ssize_t count = pread(fd, out_text, length, 0);
    if (count < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read the output of a command");
    }
    out_text[count] = '\0';
    for (ssize_t i = 0; i < count; i++) {
        out_text[i] = (char)(out_text[i] == '\0' ? ' ' : out_text[i]);
    }
    return 0;
}

/* RUN's payload (jobwire.h) in the directory "/", and a command line for a server without RUN. */
static int write_words(struct buffer *payload, struct buffer *line, const char *const words[])
{
    int result = buffer_append(payload, "/", 2);
    for (size_t i = 0; words[i] != NULL && result == 0; i++) {
        result = buffer_append(payload, words[i], strlen(words[i]) + 1) < 0 ||
                         buffer_append_text(line, i == 0 ? "" : " ") < 0 ||
                         shell_quote_word(line, words[i]) < 0
                     ? -1
                     : 0;
    }
    return result;
}

int task_command(const struct task *task, struct ssh_connection *connection,
                 struct backend_command *command, int64_t deadline_ms, struct error *err)
{
    cleanup_buffer struct buffer payload, line;
    cleanup_fd int capture = open_capture(command->room, err);
    struct ssh_request request;
    struct job_outcome outcome = {0};
    buffer_init(&payload, JOBWIRE_COMMAND_BYTES);
    buffer_init(&line, SHELL_QUOTE_CEILING_BYTES);
    if (capture < 0) {
        return -1;
    }
    if (write_words(&payload, &line, command->words) < 0) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write the command");
    }
    task_request(task, &request);
    request.command = line.bytes;
    request.words = payload.bytes;
    request.words_length = payload.length;
    request.direct = true;
    request.input = command->input;
    request.input_length = command->input_length;
    request.capture_fd = capture;
    request.deadline_ms = deadline_ms;
    if (ssh_exec(connection, &request, &outcome, err) < 0) {
        return -1;
    }
    if (outcome.cancelled) {
        return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
    }
    command->status = outcome.signal[0] != '\0' ? BACKEND_SIGNALLED : outcome.status;
    return read_capture(capture, command->text, command->room, err);
}
