/* SPDX-License-Identifier: MIT */
/*
 * The birth of a local task's agent: forked, registered on disk, let through the gate, and heard
 * naming its port.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/parse.h"
#include "driver/backend/embedded_agent.h"
#include "driver/backend/local_environment.h"
#include "driver/backend/local_private.h"

/* What a job that lost its link waits for us beyond our own patience: it must not be the agent
 * that gives up first. */
#define DETACH_SPARE_MS (60 * 1000)
#define CHILD_READY_FD  3
#define CHILD_AGENT_FD  4

/* The descriptors between us and an agent that is being born. */
struct birth {
    int ready[2]; /* the agent writes its port */
    int gate[2];  /* we write a byte once the agent's identity is on disk */
    int log_fd, agent_fd;
};

static int open_birth(struct birth *birth, const struct backend_task *task, struct error *err)
{
    char path[PATH_MAX];
    if (local_join(path, local_directory_of(task->metadata), "agent.log", err) < 0) {
        return -1;
    }
    birth->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (birth->log_fd < 0 || pipe2(birth->ready, O_CLOEXEC) < 0 ||
        pipe2(birth->gate, O_CLOEXEC) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start the agent");
    }
    if (task->config->local_agent == NULL) {
        birth->agent_fd = embedded_agent_open();
    }
    return 0;
}

static void close_birth(struct birth *birth)
{
    int *const fds[] = {&birth->ready[0], &birth->ready[1], &birth->gate[0],
                        &birth->gate[1],  &birth->log_fd,   &birth->agent_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        cleanup_fd_fn(fds[i]);
    }
}

/* Puts descriptors where the agent expects them: nothing of the driver's stays open, or the
 * runner would wait for the agent to close the driver's output. */
static void arrange_descriptors(const struct birth *birth)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int ready_fd = fcntl(birth->ready[1], F_DUPFD_CLOEXEC, 16);
    int agent_fd = birth->agent_fd < 0 ? -1 : fcntl(birth->agent_fd, F_DUPFD_CLOEXEC, 16);
    int log_fd = fcntl(birth->log_fd, F_DUPFD_CLOEXEC, 16);
    if (null_fd < 0 || ready_fd < 0 || log_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0 ||
        dup2(ready_fd, CHILD_READY_FD) < 0) {
        _exit(126);
    }
    unsigned int keep = CHILD_READY_FD + 1;
    if (agent_fd >= 0 && dup3(agent_fd, CHILD_AGENT_FD, O_CLOEXEC) == CHILD_AGENT_FD) {
        keep = CHILD_AGENT_FD + 1;
    }
    (void)fd_close_range(keep, ~0U);
}

__attribute__((noreturn)) static void
become_agent(const struct backend_task *task, struct birth *birth, char *const envp[], pid_t parent)
{
    char go;
    char copy[PATH_MAX];
    char grace[32];
    char detach[32];
    cleanup_fd_fn(&birth->gate[1]); /* or the gate would never close with our parent's end */
    if (task->tied && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)) {
        _exit(126);
    }
    if (setsid() < 0 || read(birth->gate[0], &go, 1) != 1 ||
        local_join(copy, local_directory_of(task->metadata), "home", NULL) < 0 || chdir(copy) < 0) {
        _exit(126);
    }
    (void)snprintf(grace, sizeof(grace), "%lldms", (long long)task->config->cancel_grace_ms);
    (void)snprintf(detach, sizeof(detach), "%lldms",
                   (long long)task->config->ssh_reattach_timeout_ms + DETACH_SPARE_MS);
    const char *const argv[] = {"berth-agent", "--listen", "127.0.0.1:0",      "--ready-fd", "3",
                                "--grace",     grace,      "--detach-timeout", detach,       NULL};
    (void)local_join(copy, local_directory_of(task->metadata), "berth-agent", NULL);
    signals_restore_defaults();
    (void)umask(022);
    arrange_descriptors(birth);
    /* exec takes char *const for the sake of old code; nobody writes through it. */
    char *const *arguments = (char *const *)(uintptr_t)argv;
    if (task->config->local_agent != NULL) {
        (void)execve(task->config->local_agent, arguments, envp);
    } else {
        embedded_agent_exec(birth->agent_fd < 0 ? -1 : CHILD_AGENT_FD, copy, arguments, envp);
    }
    dprintf(STDERR_FILENO, "berth-driver: cannot execute the agent: %s\n", strerror(errno));
    _exit(127);
}

static int died_at_start(const struct backend_task *task, struct error *err)
{
    char tail[LOCAL_LOG_TAIL_BYTES];
    local_log_tail(task->metadata, tail, sizeof(tail));
    return error_set(err, ERROR_SYSTEM, 0, "the agent ended at its start: %s",
                     tail[0] != '\0' ? tail : "it said nothing");
}

/* Reads "PORT\n" from the agent. */
static int read_port(const struct backend_task *task, int fd, int64_t deadline_ms, int *out_port,
                     struct error *err)
{
    char text[16] = "";
    size_t length = 0;
    while (length == 0 || text[length - 1] != '\n') {
        int ready = signals_wait(task->signals, fd, deadline_ms);
        if (ready < 0) {
            return error_set(err, ERROR_SYSTEM, EINTR, "stopped by a signal");
        }
        if (ready == 0) {
            return error_set(err, ERROR_SYSTEM, ETIMEDOUT, "the agent does not listen in time");
        }
        ssize_t got = read(fd, text + length, sizeof(text) - 1 - length);
        if (got <= 0 || length + (size_t)got >= sizeof(text) - 1) {
            return died_at_start(task, err);
        }
        length += (size_t)got;
    }
    text[length - 1] = '\0';
    int64_t port = 0;
    if (parse_integer(text, 1, 65535, &port) < 0) {
        return error_set(err, ERROR_PEER, 0, "the agent named no port");
    }
    *out_port = (int)port;
    return 0;
}

/* Behind fork(): the child waits at the gate until its identity is on disk. If this process dies
 * before that, the gate closes and the child ends; later, cleanup finds it by that identity. */
static int register_child(struct backend_task *task, struct birth *birth, pid_t pid,
                          struct error *err)
{
    struct process_identity identity;
    if (process_identify(pid, &identity, err) < 0 ||
        local_store_identity(task->metadata, &identity, err) < 0 ||
        (task->persist != NULL && task->persist(task, err) < 0)) {
        cleanup_fd_fn(&birth->gate[1]);
        (void)waitpid(pid, NULL, 0);
        return -1;
    }
    if (write(birth->gate[1], "", 1) != 1) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start the agent");
    }
    cleanup_fd_fn(&birth->ready[1]); /* so that the agent's end is seen as EOF */
    return 0;
}

static int give_birth(struct backend_task *task, struct birth *birth, int64_t deadline_ms,
                      struct error *err)
{
    struct local_environment *environment = local_environment_new(
        task->config, local_directory_of(task->metadata), task->metadata->keys, err);
    if (environment == NULL) {
        return -1;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become_agent(task, birth, local_environment_entries(environment), parent);
    }
    int result = pid < 0 ? error_set(err, ERROR_SYSTEM, errno, "cannot start the agent")
                         : register_child(task, birth, pid, err);
    local_environment_free(environment);
    if (result == 0) {
        result = read_port(task, birth->ready[0], deadline_ms, &task->metadata->port, err);
    }
    return result;
}

int local_birth(struct backend_task *task, int64_t deadline_ms, struct error *err)
{
    struct birth birth = {{-1, -1}, {-1, -1}, -1, -1};
    int result = open_birth(&birth, task, err);
    if (result == 0) {
        result = give_birth(task, &birth, deadline_ms, err);
    }
    close_birth(&birth);
    return result;
}
