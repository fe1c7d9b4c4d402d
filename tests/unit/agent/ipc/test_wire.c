/* SPDX-License-Identifier: MIT */
#include "agent/ipc/wire.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/rows.h"

#define MANY 8

struct row {
    const char *name;
    size_t bytes; /* that are sent, the first of a message and more */
    int fds;
    enum wire_result result;
};

static const struct row rows[] = {
    {"whole message", sizeof(struct wire_message), 0, WIRE_MESSAGE},
    {"whole message with a descriptor", sizeof(struct wire_message), 1, WIRE_MESSAGE},
    {"as many descriptors as fit", sizeof(struct wire_message), WIRE_FDS, WIRE_MESSAGE},
    {"one byte", 1, 0, WIRE_CLOSED},
    {"one byte short", sizeof(struct wire_message) - 1, 0, WIRE_CLOSED},
    {"short with descriptors", sizeof(struct wire_message) - 1, WIRE_FDS, WIRE_CLOSED},
    {"one byte more", sizeof(struct wire_message) + 1, 0, WIRE_CLOSED},
    {"too many descriptors", sizeof(struct wire_message), MANY, WIRE_CLOSED},
};

static void send_raw(int socket, size_t bytes, int count)
{
    char content[sizeof(struct wire_message) + 1] = {1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * MANY)];
    } control;
    memset(&control, 0, sizeof(control));
    struct iovec part = {.iov_base = content, .iov_len = bytes};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        for (int i = 0; i < count; i++) {
            memcpy(CMSG_DATA(rights) + (size_t)i * sizeof(int), &socket, sizeof(int));
        }
    }
    assert_int_equal(sendmsg(socket, &header, 0), bytes);
}

/* The lowest free descriptor, which is the same before and after if none leaks. */
static int lowest_free(void)
{
    int fd = dup(STDERR_FILENO);
    (void)close(fd);
    return fd;
}

static void test_receive(void **state)
{
    const struct row *row = *state;
    int ends[2];
    int fds[WIRE_FDS];
    struct wire_message message;
    assert_int_equal(wire_pair(ends), 0);
    int before = lowest_free();
    assert_int_equal(wire_receive(ends[0], &message, fds), WIRE_NOTHING);
    send_raw(ends[1], row->bytes, row->fds);
    assert_int_equal(wire_receive(ends[0], &message, fds), row->result);
    for (int i = 0; i < WIRE_FDS; i++) {
        assert_int_equal(fds[i] >= 0, row->result == WIRE_MESSAGE && i < row->fds);
        if (fds[i] >= 0) {
            assert_true((fcntl(fds[i], F_GETFD) & FD_CLOEXEC) != 0);
            (void)close(fds[i]);
        }
    }
    assert_int_equal(lowest_free(), before);
    (void)close(ends[1]);
    assert_int_equal(wire_receive(ends[0], &message, fds), WIRE_CLOSED);
    (void)close(ends[0]);
}

/* The kernel reports the reset before what the peer sent. */
static void test_last_message_after_a_reset(void **state)
{
    (void)state;
    int ends[2];
    int fds[WIRE_FDS];
    struct wire_message message = {.type = WIRE_JOB_SIGNAL};
    assert_int_equal(wire_pair(ends), 0);
    assert_int_equal(wire_send(ends[0], &message, NULL, 0), 0);
    message.type = WIRE_JOB_EXITED;
    assert_int_equal(wire_send(ends[1], &message, &ends[1], 1), 0);
    message.type = WIRE_JOB_REPLACED;
    assert_int_equal(wire_send(ends[1], &message, NULL, 0), 0);
    (void)close(ends[1]);
    assert_int_equal(wire_receive(ends[0], &message, fds), WIRE_MESSAGE);
    assert_int_equal(message.type, WIRE_JOB_EXITED);
    assert_true(fds[0] >= 0);
    (void)close(fds[0]);
    assert_int_equal(wire_receive(ends[0], &message, fds), WIRE_MESSAGE);
    assert_int_equal(message.type, WIRE_JOB_REPLACED);
    assert_int_equal(wire_receive(ends[0], &message, fds), WIRE_CLOSED);
    (void)close(ends[0]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_message_after_a_reset),
    };
    return rows_run(rows, test_receive) + cmocka_run_group_tests(tests, NULL, NULL);
}
