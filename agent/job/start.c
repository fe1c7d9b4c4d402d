/* SPDX-License-Identifier: MIT */
#include "agent/job/start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/job/environment.h"
#include "agent/job/register.h"
#include "agent/job/sftp_server.h"
#include "agent/job/terminal.h"
#include "agent/limits.h"
#include "agent/users.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#define EXEC_FAILED         126
#define KERNEL_SIGSET_BYTES 8
/* Where a command that is too long for an argument is read from; see command_file(). */
#define COMMAND_FD     3
#define COMMAND_PREFIX "exec 3<&-\n"
#define COMMAND_READER ". /proc/self/fd/3"

enum { READ, WRITE };

/* What a child that could not execute its program says. */
struct failure {
    int errnum;
    bool no_right; /* it could not become the job's user */
};

/* All that the child needs, made before the fork. */
struct launch {
    struct user user;
    const char *program; /* executed without a shell; NULL: the user's shell */
    const char *command; /* NULL: the shell alone */
    int master, slave;   /* -1: pipes */
    char terminal_name[TERMINAL_NAME_BYTES];
    int in[2], out[2], error[2];
    int failure[2]; /* carries a struct failure, closes itself when exec works */
    int command_fd; /* -1: the command fits an argument */
};

void job_close(struct job *job)
{
    cleanup_fd_fn(&job->stdin_fd);
    cleanup_fd_fn(&job->stdout_fd);
    cleanup_fd_fn(&job->stderr_fd);
}

static void close_pair(int pair[2])
{
    cleanup_fd_fn(&pair[READ]);
    cleanup_fd_fn(&pair[WRITE]);
}

static void launch_done(struct launch *launch)
{
    user_done(&launch->user);
    cleanup_fd_fn(&launch->master);
    cleanup_fd_fn(&launch->slave);
    close_pair(launch->in);
    close_pair(launch->out);
    close_pair(launch->error);
    close_pair(launch->failure);
    cleanup_fd_fn(&launch->command_fd);
}

/* The shell reads such a command from a memory file, whose first line closes the descriptor again
 * so that the job does not inherit it. */
static int command_file(const char *command)
{
    cleanup_fd int fd = memfd_create("berth-command", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, COMMAND_PREFIX, strlen(COMMAND_PREFIX), CLOCK_NEVER) < 0 ||
        fd_write_all(fd, command, strlen(command), CLOCK_NEVER) < 0) {
        return -1;
    }
    return steal_fd(&fd);
}

static int open_pipes(struct launch *launch)
{
    bool has_input = launch->in[READ] >= 0;
    if ((!has_input && pipe2(launch->in, O_CLOEXEC) < 0) || pipe2(launch->out, O_CLOEXEC) < 0 ||
        pipe2(launch->error, O_CLOEXEC) < 0) {
        return -1;
    }
    /* Fewer wake-ups for loud jobs; a smaller pipe works as well. */
    (void)fcntl(launch->out[READ], F_SETPIPE_SZ, LIMIT_PIPE_BYTES);
    if ((!has_input && fd_set_nonblocking(launch->in[WRITE], true) < 0) ||
        fd_set_nonblocking(launch->out[READ], true) < 0 ||
        fd_set_nonblocking(launch->error[READ], true) < 0) {
        return -1;
    }
    return 0;
}

static int open_streams(struct launch *launch, const struct job_request *request)
{
    if (pipe2(launch->failure, O_CLOEXEC) < 0) {
        return -1;
    }
    if (request->term == NULL) {
        return open_pipes(launch);
    }
    return terminal_open(&request->size, &request->modes, launch->user.uid, &launch->master,
                         &launch->slave, launch->terminal_name);
}

/* By the system call, since the C library refuses the signals that it keeps for itself, and the
 * container's start may have ignored those as well. All zero is SIG_DFL in every field. */
void job_reset_signals(void)
{
    static const char standard[64];
    sigset_t none;
    for (int number = 1; number <= SIGRTMAX; number++) {
        (void)syscall(SYS_rt_sigaction, number, standard, NULL, KERNEL_SIGSET_BYTES);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Linear, each step fatal to the child: groups, group, user. */
static int become(const struct user *user)
{
    if (user->is_self) {
        return 0;
    }
    if (initgroups(user->name, user->gid) < 0 || setgid(user->gid) < 0 || setuid(user->uid) < 0) {
        return -1;
    }
    return 0;
}

static int arrange_descriptors(const struct launch *launch, int *failure_fd)
{
    int kept = launch->command_fd >= 0 ? COMMAND_FD + 1 : COMMAND_FD;
    /* Above everything that dup2() will overwrite. */
    *failure_fd = fcntl(launch->failure[WRITE], F_DUPFD_CLOEXEC, COMMAND_FD + 1);
    int command_fd =
        launch->command_fd < 0 ? -1 : fcntl(launch->command_fd, F_DUPFD_CLOEXEC, COMMAND_FD + 1);
    bool terminal = launch->slave >= 0;
    if (*failure_fd < 0 || (terminal && terminal_control(launch->slave) < 0) ||
        dup2(terminal ? launch->slave : launch->in[READ], STDIN_FILENO) < 0 ||
        dup2(terminal ? launch->slave : launch->out[WRITE], STDOUT_FILENO) < 0 ||
        dup2(terminal ? launch->slave : launch->error[WRITE], STDERR_FILENO) < 0) {
        return -1;
    }
    if (command_fd >= 0 && dup2(command_fd, COMMAND_FD) < 0) {
        return -1;
    }
    if (*failure_fd > kept && fd_close_range((unsigned)kept, (unsigned)*failure_fd - 1) < 0) {
        return -1;
    }
    return fd_close_range((unsigned)*failure_fd + 1, ~0U);
}

/* Between fork and exec: only _exit() leaves this function. */
static _Noreturn void run_child(const struct launch *launch)
{
    int failure_fd = launch->failure[WRITE];
    register_job();
    (void)setsid();
    job_reset_signals();
    struct failure failure = {0};
    bool arranged = arrange_descriptors(launch, &failure_fd) == 0;
    failure.no_right = arranged && become(&launch->user) < 0;
    if (arranged && !failure.no_right) {
        const char *home = getenv("HOME");
        if (home == NULL || chdir(home) < 0) {
            (void)!chdir("/");
        }
        /* Never a login shell: /etc/profile of most images replaces the image's own PATH. */
        const char *path = launch->program != NULL ? launch->program : launch->user.shell;
        const char *base = strrchr(path, '/');
        const char *name = base == NULL ? path : base + 1;
        const char *command = launch->command_fd >= 0 ? COMMAND_READER : launch->command;
        (void)execl(path, name, command == NULL ? NULL : "-c", command, (char *)NULL);
    }
    failure.errnum = errno;
    (void)!write(failure_fd, &failure, sizeof(failure));
    _exit(EXEC_FAILED);
}

/* Waits until the child has executed its shell or said why not: then false. A child that hangs in
 * its home directory or in the image's storage is killed, so that it never starts later. */
static bool await_exec(struct launch *launch, pid_t child, struct failure *out_failure)
{
    struct pollfd entry = {.fd = launch->failure[READ], .events = POLLIN};
    int64_t deadline_ms = clock_deadline_ms(LIMIT_EXEC_MS);
    int ready;
    cleanup_fd_fn(&launch->failure[WRITE]);
    do {
        ready = poll(&entry, 1, clock_poll_timeout(deadline_ms));
    } while (ready < 0 && errno == EINTR);
    if (ready != 1) {
        (void)kill(child, SIGKILL);
        out_failure->errnum = ETIMEDOUT;
        return false;
    }
    /* Small enough for a pipe to hand it over whole. */
    return read(entry.fd, out_failure, sizeof(*out_failure)) != (ssize_t)sizeof(*out_failure);
}

/* The image has no shell that runs, or an environment that no program can be given: the same in
 * every task of it. Anything else may have been this one's moment. */
static bool is_for_good(int reason)
{
    return reason == ENOENT || reason == ENOTDIR || reason == EACCES || reason == ENOEXEC ||
           reason == ELOOP || reason == E2BIG;
}

static int spawn(struct launch *launch, struct job *out_job, struct error *err)
{
    pid_t pid = fork();
    if (pid < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot fork");
    }
    if (pid == 0) {
        run_child(launch);
    }
    struct failure failure = {0};
    if (!await_exec(launch, pid, &failure)) {
        const char *program = launch->program != NULL ? launch->program : launch->user.shell;
        return error_set(err, is_for_good(failure.errnum) ? ERROR_BUILD : ERROR_SYSTEM,
                         failure.errnum, "cannot %s '%s'", failure.no_right ? "become" : "execute",
                         failure.no_right ? launch->user.name : program);
    }
    out_job->pid = pid;
    out_job->has_terminal = launch->master >= 0;
    if (out_job->has_terminal) {
        out_job->stdout_fd = steal_fd(&launch->master);
        return 0;
    }
    out_job->stdin_fd = steal_fd(&launch->in[WRITE]);
    out_job->stdout_fd = steal_fd(&launch->out[READ]);
    out_job->stderr_fd = steal_fd(&launch->error[READ]);
    return 0;
}

static int choose_program(struct launch *launch, const struct job_request *request,
                          const struct agent_options *options, struct error *err)
{
    if (request->subsystem == NULL) {
        return 0;
    }
    launch->program = sftp_server_find(options->sftp_server);
    if (launch->program == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOPKG, "no sftp-server in this image");
    }
    return 0;
}

static int prepare(struct launch *launch, const struct job_request *request, struct error *err)
{
    bool long_command =
        request->command != NULL && strlen(request->command) >= LIMIT_ARGUMENT_BYTES;
    if (long_command) {
        launch->command_fd = command_file(request->command);
    }
    if ((long_command && launch->command_fd < 0) || open_streams(launch, request) < 0 ||
        environment_prepare(&launch->user, request->client) < 0 ||
        environment_add(request->variables, request->term,
                        launch->slave >= 0 ? launch->terminal_name : NULL) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot prepare a job");
    }
    return 0;
}

int job_start(const struct job_request *request, const struct agent_options *options, int input_fd,
              struct job *out_job, struct error *err)
{
    struct launch launch = {.command = request->command,
                            .master = -1,
                            .slave = -1,
                            .in = {-1, -1},
                            .out = {-1, -1},
                            .error = {-1, -1},
                            .failure = {-1, -1},
                            .command_fd = -1};
    if (request->user == NULL || !users_find(request->user, &launch.user)) {
        return error_set(err, ERROR_USAGE, ENOENT, "no user '%s'",
                         request->user == NULL ? "" : request->user);
    }
    if (input_fd >= 0) {
        launch.in[READ] = fcntl(input_fd, F_DUPFD_CLOEXEC, 0);
    }
    int result = choose_program(&launch, request, options, err);
    if (result == 0) {
        result = prepare(&launch, request, err);
    }
    if (result == 0) {
        result = spawn(&launch, out_job, err);
    }
    launch_done(&launch);
    return result;
}
