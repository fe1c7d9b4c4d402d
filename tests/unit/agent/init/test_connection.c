/* SPDX-License-Identifier: MIT */
/*
 * init's handling of a session's messages. A session without a login gets no job, whatever it
 * requests: it may be compromised.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "tests/unit/rows.h"

struct row {
    const char *name;
    int type;
    int fds; /* that come with it */
};

static const struct row rows[] = {
    {"JOB_START", WIRE_JOB_START, 2},
    {"RESUMABLE_START", WIRE_RESUMABLE_START, 3},
    {"RESUMABLE_ATTACH", WIRE_RESUMABLE_ATTACH, 1},
};

static void test_no_job_before_the_login(void **state)
{
    const struct row *row = *state;
    static struct agent_options options;
    static struct init init;
    int ends[2];
    int job[2];
    memset(&init, 0, sizeof(init));
    init.options = &options;
    init.listener = -1;
    assert_int_equal(wire_pair(ends), 0);
    assert_int_equal(wire_pair(job), 0);
    init.connections_top = 1;
    init.connections[0] = (struct connection){
        .pid = 1, .control = ends[0], .source = admission_source(&init.admission, "here", 0)};
    const int fds[] = {job[1], job[1], job[1]};
    struct wire_message message = {.type = row->type, .id = "0123456789abcdef0123456789abcdef"};
    assert_int_equal(wire_send(ends[1], &message, fds, row->fds), 0);
    (void)close(job[1]);
    connection_message(&init, &init.connections[0]);
    assert_int_equal(init.jobs_top, 0);
    assert_int_equal(init.jobs[0].state, JOB_FREE);
    assert_false(init.ever_logged_in);
    /* The job's socket is closed, without a message. */
    char byte;
    assert_int_equal(recv(job[0], &byte, 1, MSG_DONTWAIT), 0);
    (void)close(job[0]);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* It only gives the connection more time. */
static void test_a_login_is_asked_for(void **state)
{
    static struct agent_options options;
    static struct init init;
    int ends[2];
    (void)state;
    memset(&init, 0, sizeof(init));
    init.options = &options;
    assert_int_equal(wire_pair(ends), 0);
    init.connections_top = 1;
    init.connections[0] = (struct connection){
        .pid = 1, .control = ends[0], .source = admission_source(&init.admission, "here", 0)};
    struct wire_message message = {.type = WIRE_LOGIN_ASKED};
    assert_int_equal(wire_send(ends[1], &message, NULL, 0), 0);
    connection_message(&init, &init.connections[0]);
    assert_true(init.connections[0].asked);
    assert_false(init.connections[0].logged_in);
    assert_false(init.ever_logged_in);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Only a connection without a login costs CPU credit and gives its address points. */
static void test_cost_of_a_connection_without_login(void **state)
{
    static struct init init;
    (void)state;
    for (int logged_in = 0; logged_in < 2; logged_in++) {
        memset(&init, 0, sizeof(init));
        struct source *source = admission_source(&init.admission, "here", 0);
        source->users = 1;
        init.connections_top = 1;
        init.connections[0] = (struct connection){
            .pid = 1, .control = -1, .source = source, .logged_in = logged_in != 0};
        connection_ended(&init, &init.connections[0], 0, 123456789);
        assert_int_equal(init.admission.owed_us, logged_in ? 0 : 123456789);
        assert_int_equal(source->penalty, logged_in ? 0 : LIMIT_PENALTY_NO_LOGIN);
        assert_int_equal(source->users, 0);
        assert_int_equal(init.connections_top, 0);
    }
}

int main(void)
{
    const struct CMUnitTest others[] = {cmocka_unit_test(test_a_login_is_asked_for),
                                        cmocka_unit_test(test_cost_of_a_connection_without_login)};
    log_open("test", LOG_FATAL, LOG_TEXT, 2);
    return rows_run(rows, test_no_job_before_the_login) +
           cmocka_run_group_tests(others, NULL, NULL);
}
