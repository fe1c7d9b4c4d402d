/* SPDX-License-Identifier: MIT */
#include "agent/child/start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/child/entrypoint.h"
#include "agent/child/environment.h"
#include "agent/child/home.h"
#include "agent/child/sftp_server.h"
#include "agent/child/shell.h"
#include "agent/child/terminal.h"
#include "agent/ipc/job_pids.h"
#include "agent/limits.h"
#include "agent/users.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"

#define EXEC_FAILED         126
#define KERNEL_SIGSET_BYTES 8
/* The descriptor from which a shell reads a command that is too long for an argument (see
 * command_file()), and a command given as words its input. */
#define COMMAND_FD     3
#define COMMAND_PREFIX "exec 3<&-\n"
#define COMMAND_READER ". /proc/self/fd/3"

enum { READ, WRITE };

/* Sent by a child that could not execute its program. */
struct failure {
    int errnum;
    bool no_right;   /* it could not change to the job's user */
    bool entrypoint; /* it was --entrypoint */
};

/* Everything that the child needs, prepared before the fork. */
struct job_launch {
    const struct agent_options *options;
    struct user user;
    const char *program;   /* executed without a shell; NULL: the user's shell */
    const char *command;   /* NULL: the shell alone */
    const char *directory; /* with words; "": the user's home */
    char **words;          /* the command, executed without the user's shell; NULL: with it */
    bool script;           /* the command is a job's script: --entrypoint applies */
    int master, slave;     /* -1: pipes */
    char terminal_name[TERMINAL_NAME_BYTES];
    int in[2], out[2], error[2];
    int failure[2];    /* carries a struct failure; exec closes it */
    bool long_command; /* it is read from COMMAND_FD */
    int command_fd;    /* becomes COMMAND_FD; -1: the job gets none */
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

static void launch_done(struct job_launch *launch)
{
    user_done(&launch->user);
    free(launch->words);
    cleanup_fd_fn(&launch->master);
    cleanup_fd_fn(&launch->slave);
    close_pair(launch->in);
    close_pair(launch->out);
    close_pair(launch->error);
    close_pair(launch->failure);
    cleanup_fd_fn(&launch->command_fd);
}

/* A memory file with a long command. Its first line closes the descriptor, so that the job does not
 * inherit it. */
static int command_file(const char *command, struct error *err)
{
    cleanup_fd int fd = fd_memory_file("berth-command", 0, err);
    if (fd < 0) {
        return -1;
    }
    if (fd_write_all(fd, COMMAND_PREFIX, strlen(COMMAND_PREFIX), CLOCK_NEVER) < 0 ||
        fd_write_all(fd, command, strlen(command), CLOCK_NEVER) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write the command");
    }
    return steal_fd(&fd);
}

/* Opening /dev/stdout opens the pipe again, which only its owner may do. Without CAP_CHOWN the pipe
 * keeps its owner and only that fails. */
static void give_to_user(const struct user *user, int pipe)
{
    if (!user->is_self) {
        (void)!fchown(pipe, user->uid, user->gid);
    }
}

static int open_pipes(struct job_launch *launch)
{
    bool has_input = launch->in[READ] >= 0;
    if ((!has_input && pipe2(launch->in, O_CLOEXEC) < 0) || pipe2(launch->out, O_CLOEXEC) < 0 ||
        pipe2(launch->error, O_CLOEXEC) < 0) {
        return -1;
    }
    /* Fewer wake-ups when a job writes much; a smaller pipe works as well. */
    (void)fcntl(launch->out[READ], F_SETPIPE_SZ, LIMIT_PIPE_BYTES);
    give_to_user(&launch->user, launch->out[WRITE]);
    give_to_user(&launch->user, launch->error[WRITE]);
    if (!has_input) {
        give_to_user(&launch->user, launch->in[READ]);
    }
    if ((!has_input && fd_set_nonblocking(launch->in[WRITE]) < 0) ||
        fd_set_nonblocking(launch->out[READ]) < 0 || fd_set_nonblocking(launch->error[READ]) < 0) {
        return -1;
    }
    return 0;
}

static int open_streams(struct job_launch *launch, const struct job_request *request)
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

/* By system call, since sigaction() rejects the signals that the C library reserves, which may have
 * been ignored too. All zeros mean SIG_DFL. */
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

/* The order matters: groups, group, user. */
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

static int arrange_descriptors(const struct job_launch *launch, int *failure_fd)
{
    int kept = launch->command_fd >= 0 ? COMMAND_FD + 1 : COMMAND_FD;
    /* Above the descriptors that dup2() overwrites. */
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

/* The job has started: a message and an exit status as from a shell. */
static _Noreturn void end_child(const char *what, const char *name)
{
    int reason = errno;
    char text[512];
    int length = snprintf(text, sizeof(text), "berth: error: cannot %s '%.300s': %s\n", what, name,
                          strerror(reason));
    (void)!write(STDERR_FILENO, text, (size_t)length);
    _exit(reason == ENOENT && strcmp(what, "execute") == 0 ? 127 : EXEC_FAILED);
}

/* Returns with errno only when the image has no shell, or no such entrypoint. */
static void exec_words(const struct job_launch *launch, struct failure *failure)
{
    if (launch->directory[0] != '\0') {
        if (chdir(launch->directory) < 0) {
            end_child("enter", launch->directory);
        }
        (void)setenv("PWD", launch->directory, 1);
    }
    if (launch->words[1] == NULL) {
        const char *command = launch->long_command ? COMMAND_READER : launch->command;
        if (launch->script && launch->options->entrypoint.count > 0) {
            entrypoint_exec(launch->options, command, &failure->entrypoint);
        } else {
            shell_exec(getenv("PATH"), launch->options->busybox, command);
        }
        return;
    }
    (void)execvp(launch->words[0], launch->words);
    end_child("execute", launch->words[0]);
}

/* The user's own shell; never a login shell: /etc/profile of most images replaces the image's own
 * PATH. */
static void exec_user_shell(const struct job_launch *launch)
{
    const char *path = launch->program != NULL ? launch->program : launch->user.shell;
    const char *base = strrchr(path, '/');
    const char *name = base == NULL ? path : base + 1;
    const char *command = launch->long_command ? COMMAND_READER : launch->command;
    (void)execl(path, name, command == NULL ? NULL : "-c", command, (char *)NULL);
    if (launch->program == NULL && launch->options->busybox != NULL && shell_is_absent(errno)) {
        shell_exec_busybox(launch->options->busybox, command);
    }
}

/* HOME, umask and working directory, as the job's user. */
static void settle(const struct agent_options *options)
{
    if (options->umask >= 0) {
        (void)umask((mode_t)options->umask);
    }
    if (options->home_fallback != NULL && home_settle(options->home_fallback) < 0) {
        (void)dprintf(STDERR_FILENO,
                      "berth: warning: cannot make a home directory in '%s': %s, HOME stays "
                      "'%s'\n",
                      options->home_fallback, strerror(errno), getenv("HOME"));
    }
    const char *home = getenv("HOME");
    if (home == NULL || chdir(home) < 0) {
        (void)!chdir("/");
    }
}

/* Between fork and exec: only _exit() ends this function. */
static _Noreturn void run_child(const struct job_launch *launch)
{
    int failure_fd = launch->failure[WRITE];
    job_pids_job();
    (void)setsid();
    job_reset_signals();
    struct failure failure = {0};
    bool arranged = arrange_descriptors(launch, &failure_fd) == 0;
    if (arranged && launch->options->home_fallback != NULL && !launch->user.is_self) {
        home_make_parent(launch->options->home_fallback);
    }
    failure.no_right = arranged && become(&launch->user) < 0;
    if (arranged && !failure.no_right) {
        settle(launch->options);
        if (launch->words != NULL) {
            exec_words(launch, &failure);
        } else {
            exec_user_shell(launch);
        }
    }
    failure.errnum = errno;
    (void)!write(failure_fd, &failure, sizeof(failure));
    _exit(EXEC_FAILED);
}

/* Waits until the child has executed its program; false: it has failed. A child that hangs, in its
 * home directory or in the image's storage, is killed, so that it cannot start later. */
static bool await_exec(struct job_launch *launch, pid_t child, struct failure *out_failure)
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
    /* A pipe delivers so few bytes in one read. */
    return read(entry.fd, out_failure, sizeof(*out_failure)) != (ssize_t)sizeof(*out_failure);
}

/* The image has no shell that runs, or an environment that is too large: the same in every task.
 * Other reasons may be temporary. */
static bool is_permanent(int reason)
{
    return reason == ENOENT || reason == ENOTDIR || reason == EACCES || reason == ENOEXEC ||
           reason == ELOOP || reason == E2BIG;
}

static int spawn(struct job_launch *launch, struct job *out_job, struct error *err)
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
        const char *program = failure.entrypoint        ? launch->options->entrypoint.entries[0]
                              : launch->words != NULL   ? "bash, sh or busybox"
                              : launch->program != NULL ? launch->program
                                                        : launch->user.shell;
        return error_set(err, is_permanent(failure.errnum) ? ERROR_BUILD : ERROR_SYSTEM,
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

/* Splits the words into an array that ends with NULL. */
static int take_words(struct job_launch *launch, const struct job_request *request)
{
    const char *end = request->words + request->words_bytes;
    size_t count = 0;
    for (const char *at = request->words; at < end; at += strlen(at) + 1) {
        count++;
    }
    launch->directory = request->words;
    launch->words = calloc(count + 1, sizeof(*launch->words));
    if (launch->words == NULL) {
        return -1;
    }
    char *at = request->words + strlen(request->words) + 1;
    for (size_t i = 0; i + 1 < count; i++) {
        launch->words[i] = at;
        at += strlen(at) + 1;
    }
    launch->command = count == 2 ? launch->words[0] : NULL;
    return 0;
}

/* A command given as words gets an input file as COMMAND_FD, so that no program that a shell starts
 * before the command can read from it. */
static int take_input(struct job_launch *launch, int input_fd)
{
    struct stat status = {0};
    if (input_fd < 0) {
        return 0;
    }
    if (launch->words == NULL) {
        launch->in[READ] = fcntl(input_fd, F_DUPFD_CLOEXEC, 0);
        return launch->in[READ] < 0 ? -1 : 0;
    }
    launch->in[READ] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (launch->in[READ] < 0 || fstat(input_fd, &status) < 0) {
        return -1;
    }
    if (status.st_size > 0 && launch->long_command) {
        errno = E2BIG;
        return -1;
    }
    if (status.st_size > 0) {
        launch->command_fd = fcntl(input_fd, F_DUPFD_CLOEXEC, 0);
        return launch->command_fd < 0 ? -1 : 0;
    }
    return 0;
}

static int prepare(struct job_launch *launch, const struct job_request *request, int input_fd,
                   struct error *err)
{
    if (request->words != NULL && take_words(launch, request) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot prepare a job");
    }
    launch->long_command = launch->command != NULL &&
                           strlen(launch->command) >= LIMIT_ARGUMENT_BYTES - ENTRYPOINT_TEXT_BYTES;
    if (launch->long_command && (launch->command_fd = command_file(launch->command, err)) < 0) {
        return -1;
    }
    if (take_input(launch, input_fd) < 0 || open_streams(launch, request) < 0 ||
        environment_prepare(&launch->user, request->client, request->words == NULL,
                            launch->options) < 0 ||
        environment_add(request->variables, request->term,
                        launch->slave >= 0 ? launch->terminal_name : NULL) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot prepare a job");
    }
    return 0;
}

int job_start(const struct job_request *request, const struct agent_options *options, int input_fd,
              struct job *out_job, struct error *err)
{
    struct job_launch launch = {.options = options,
                                .command = request->command,
                                .script = input_fd >= 0,
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
    if (request->subsystem != NULL) {
        launch.program = sftp_server_find(options->sftp_server);
        if (launch.program == NULL) {
            user_done(&launch.user);
            return error_set(err, ERROR_SYSTEM, ENOPKG, "no sftp-server in this image");
        }
    }
    int result = prepare(&launch, request, input_fd, err);
    if (result == 0) {
        result = spawn(&launch, out_job, err);
    }
    launch_done(&launch);
    return result;
}
