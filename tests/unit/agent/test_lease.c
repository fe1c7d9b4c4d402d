/* SPDX-License-Identifier: MIT */
#include "agent/job/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/spool_private.h"
#include "agent/limits.h"
#include "common/cleanup.h"
#include "common/clock.h"

#define SPOOL_BYTES (64LL * SPOOL_SLOT_BYTES)

struct lent {
    struct spool spool; /* the monitor's */
    struct spool_view view;
    struct spool borrowed; /* the session's */
    int out, in;           /* the ends of the job's pipe */
};

static char byte_at(uint64_t offset)
{
    return (char)(offset * 31 + offset / 65536);
}

/* The next bytes of the stream, at most as many as the pipe takes. */
static void write_some(const struct lent *lent, uint64_t offset, size_t length)
{
    cleanup_free char *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = byte_at(offset + i);
    }
    assert_int_equal(write(lent->in, bytes, length), length);
}

static void open_lent(struct lent *lent)
{
    struct error err;
    int ends[2];
    assert_int_equal(spool_open(&lent->spool, SPOOL_BYTES, NULL, &err), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(fcntl(ends[0], F_SETPIPE_SZ, LIMIT_PIPE_BYTES) >= LIMIT_PIPE_BYTES);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    lent->out = ends[0];
    lent->in = ends[1];
    assert_int_equal(spool_view_open(&lent->view, lent->spool.fd), 0);
}

static void lend(struct lent *lent)
{
    assert_true(lease_lend(&lent->spool));
    assert_int_equal(lease_borrow(&lent->borrowed, &lent->view, lent->spool.lease), 0);
}

static void close_lent(struct lent *lent)
{
    spool_close(&lent->borrowed);
    spool_view_close(&lent->view);
    spool_close(&lent->spool);
    cleanup_fd_fn(&lent->in);
    cleanup_fd_fn(&lent->out);
}

static void check_held(const struct lent *lent)
{
    for (uint64_t at = lent->spool.tail[0]; at < lent->spool.head[0];) {
        size_t length = (size_t)(lent->spool.head[0] - at);
        const char *bytes = spool_view_at(&lent->view, 0, at, &length);
        assert_non_null(bytes);
        for (size_t i = 0; i < length; i++) {
            if (bytes[i] != byte_at(at + i)) {
                fail_msg("the byte at %llu is another", (unsigned long long)(at + i));
            }
        }
        at += length;
    }
}

/* Each slot is free, or holds a stream's bytes or room for them. */
static void check_slots(const struct spool *spool)
{
    uint32_t held = 0;
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        uint64_t past = (spool->head[stream] + SPOOL_SLOT_BYTES - 1) / SPOOL_SLOT_BYTES;
        held += (uint32_t)(past - spool->tail[stream] / SPOOL_SLOT_BYTES);
    }
    assert_int_equal(spool->free_count + held, spool->allocated);
}

static void test_bytes_are_the_owners_again(void **state)
{
    (void)state;
    struct lent lent = {0};
    open_lent(&lent);
    uint64_t first = 10 * SPOOL_PAGE;
    write_some(&lent, 0, first);
    assert_int_equal(spool_fill(&lent.spool, 0, lent.out), SPOOL_DRY);
    for (int round = 0; round < 40; round++) {
        lend(&lent);
        write_some(&lent, lent.spool.head[0], LIMIT_PIPE_BYTES);
        while (lease_fill(&lent.borrowed, 0, lent.out) == LEASE_READ) {
        }
        assert_int_equal(lease_moved(&lent.spool), lent.borrowed.head[0]);
        assert_true(lease_release(&lent.borrowed, 0, lent.borrowed.head[0] - (uint64_t)round));
        assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
        assert_int_equal(lent.spool.head[0], first + (uint64_t)(round + 1) * LIMIT_PIPE_BYTES);
        assert_int_equal(lent.spool.tail[0], lent.spool.head[0] - (uint64_t)round);
        check_held(&lent);
        check_slots(&lent.spool);
        spool_close(&lent.borrowed);
    }
    close_lent(&lent);
}

static void test_who_had_it_gets_nowhere(void **state)
{
    (void)state;
    struct lent lent = {0};
    struct spool later;
    open_lent(&lent);
    lend(&lent);
    write_some(&lent, 0, 50000);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_READ);
    assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
    write_some(&lent, 50000, 50000);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER);
    assert_false(lease_release(&lent.borrowed, 0, 1));
    assert_true(lease_lend(&lent.spool));
    assert_int_equal(lease_borrow(&later, &lent.view, lent.spool.lease), 0);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER);
    lease_give_back(&lent.borrowed);
    assert_true(lease_is_open(&lent.spool));
    assert_int_equal(lease_fill(&later, 0, lent.out), LEASE_READ);
    lease_give_back(&later);
    assert_false(lease_is_open(&lent.spool));
    assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
    assert_int_equal(lent.spool.head[0], 100000);
    check_held(&lent);
    spool_close(&later);
    close_lent(&lent);
}

static void test_what_ends_a_lease(void **state)
{
    (void)state;
    struct lent lent = {0};
    open_lent(&lent);
    lend(&lent);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_EMPTY);
    write_some(&lent, 0, SPOOL_MARK_BYTES - 1); /* too little to tell whether it was read */
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER);
    write_some(&lent, SPOOL_MARK_BYTES - 1, 1);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_READ);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_EMPTY);
    cleanup_fd_fn(&lent.in);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER);
    assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
    check_held(&lent);
    close_lent(&lent);
}

static void test_no_room_ends_a_lease(void **state)
{
    (void)state;
    struct lent lent = {0};
    uint64_t room = (uint64_t)SPOOL_KEPT_SLOTS * SPOOL_SLOT_BYTES;
    open_lent(&lent);
    lend(&lent);
    for (uint64_t done = 0; done < room; done += SPOOL_SLOT_BYTES) {
        write_some(&lent, done, SPOOL_SLOT_BYTES);
        assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_READ);
    }
    write_some(&lent, room, SPOOL_SLOT_BYTES);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER);
    assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
    assert_int_equal(spool_fill(&lent.spool, 0, lent.out), SPOOL_DRY); /* the owner finds more */
    assert_int_equal(lent.spool.head[0], room + SPOOL_SLOT_BYTES);
    check_held(&lent);
    check_slots(&lent.spool);
    close_lent(&lent);
}

/* At the end of a slot, which has less room than the packet. */
static void test_packets_stay_whole(void **state)
{
    (void)state;
    struct lent lent = {0};
    const size_t packet = 3000;
    uint64_t before = SPOOL_SLOT_BYTES / packet * packet;
    open_lent(&lent);
    assert_int_equal(fcntl(lent.in, F_SETFL, O_DIRECT), 0);
    for (uint64_t done = 0; done < before; done += packet) {
        write_some(&lent, done, packet);
        (void)spool_fill(&lent.spool, 0, lent.out);
    }
    assert_int_equal(lent.spool.head[0], before);
    lend(&lent);
    write_some(&lent, before, packet);
    write_some(&lent, before + packet, packet);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER);
    assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
    while (spool_fill(&lent.spool, 0, lent.out) == SPOOL_MORE) {
    }
    assert_int_equal(lent.spool.head[0], before + 2 * packet);
    check_held(&lent);
    spool_close(&lent.borrowed);
    lend(&lent);
    for (uint64_t done = before + 2 * packet; done < before + 6 * packet; done += packet) {
        write_some(&lent, done, packet);
    }
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_OVER); /* with less than said */
    assert_int_equal(lease_take_back(&lent.spool, false), LEASE_ENDED);
    assert_int_equal(lent.spool.head[0], before + 3 * packet);
    check_held(&lent);
    close_lent(&lent);
}

static void test_what_cannot_be_lent(void **state)
{
    (void)state;
    struct spool spool;
    struct spool_view view = {0};
    struct spool borrowed;
    struct error err;
    assert_int_equal(spool_open(&spool, SPOOL_BYTES, "/tmp", &err), 0);
    assert_false(lease_lend(&spool)); /* the borrower could cut the file short */
    spool_close(&spool);
    assert_int_equal(spool_open(&spool, SPOOL_BYTES, NULL, &err), 0);
    assert_int_equal(ftruncate(spool.fd, 0), -1);
    assert_int_equal(fcntl(spool.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_true(lease_lend(&spool));
    assert_int_equal(spool_view_open(&view, spool.reader_fd), 0);
    assert_int_equal(lease_borrow(&borrowed, &view, spool.lease), -1); /* read-only */
    spool_view_close(&view);
    spool_close(&spool);
}

/* --- a borrower that died --- */

/* Just as it left the file, but for what 'is_read' says. */
static void die_reading(struct lent *lent, uint32_t length, bool is_read)
{
    struct spool_file *file = spool_file(&lent->borrowed);
    char *at = spool_at(&lent->borrowed, 0, lent->borrowed.head[0]);
    for (uint32_t i = 0; i < length; i++) {
        at[i] = byte_at(lent->borrowed.head[0] + i);
    }
    if (!is_read) {
        memcpy(at + length - SPOOL_MARK_BYTES, file->mark, SPOOL_MARK_BYTES);
    }
    file->reading_stream = 0;
    file->reading_from = lent->borrowed.head[0];
    file->reading = length;
    file->lease++; /* OPEN to BUSY */
}

static void test_a_read_before_death_counts_and_one_that_was_not_does_not(void **state)
{
    (void)state;
    for (int is_read = 0; is_read < 2; is_read++) {
        struct lent lent = {0};
        open_lent(&lent);
        lend(&lent);
        write_some(&lent, 0, 20000);
        assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_READ);
        die_reading(&lent, 70000, is_read);
        assert_int_equal(lease_take_back(&lent.spool, false), LEASE_BUSY);
        assert_int_equal(lease_take_back(&lent.spool, true), LEASE_ENDED);
        assert_int_equal(lent.spool.head[0], is_read ? 90000 : 20000);
        check_held(&lent);
        assert_int_equal(lease_take_back(&lent.spool, true), LEASE_ENDED); /* and only once */
        assert_int_equal(lent.spool.head[0], is_read ? 90000 : 20000);
        close_lent(&lent);
    }
}

static void test_a_read_that_counts_already_does_not_count_twice(void **state)
{
    (void)state;
    struct lent lent = {0};
    open_lent(&lent);
    lend(&lent);
    write_some(&lent, 0, 20000);
    assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_READ);
    spool_file(&lent.spool)->reading = 20000;
    spool_file(&lent.spool)->lease++;
    assert_int_equal(lease_take_back(&lent.spool, true), LEASE_ENDED);
    assert_int_equal(lent.spool.head[0], 20000);
    close_lent(&lent);
}

/* What a session sends to its death: reads, and releases most of it. */
static void borrow_until_killed(struct lent *lent, const char *random)
{
    uint64_t behind = (unsigned char)random[1] * 1000U;
    for (;;) {
        enum lease_fill result = lease_fill(&lent->borrowed, 0, lent->out);
        uint64_t head = lent->borrowed.head[0];
        if (result == LEASE_OVER ||
            (head > behind && !lease_release(&lent->borrowed, 0, head - behind))) {
            _exit(1);
        }
    }
}

static void write_for_ever(const struct lent *lent)
{
    uint64_t done = 0;
    char bytes[12 * SPOOL_PAGE]; /* so that a slot's rest is no part of a page */
    for (;;) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = byte_at(done + i);
        }
        for (size_t sent = 0; sent < sizeof(bytes);) {
            ssize_t written = write(lent->in, bytes + sent, sizeof(bytes) - sent);
            sent += written > 0 ? (size_t)written : 0;
        }
        done += sizeof(bytes);
    }
}

static pid_t fork_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody */
    }
    return pid;
}

static void kill_child(pid_t pid)
{
    int status = 0;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it had not given up before */
}

static void test_nothing_is_lost_however_a_borrower_is_killed(void **state)
{
    (void)state;
    struct lent lent = {0};
    open_lent(&lent);
    pid_t writer = fork_child();
    if (writer == 0) {
        write_for_ever(&lent);
    }
    for (int round = 0; round < 300; round++) {
        char random[2];
        assert_int_equal(getentropy(random, sizeof(random)), 0);
        lend(&lent);
        uint64_t before = lent.spool.head[0];
        pid_t borrower = fork_child();
        if (borrower == 0) {
            borrow_until_killed(&lent, random);
        }
        int64_t deadline_ms = clock_deadline_ms(10000);
        do { /* until it is at work, and some time more */
            assert_true(clock_now_ms() < deadline_ms);
            (void)usleep((unsigned char)random[0] * 4U);
        } while (lease_moved(&lent.spool) == before);
        kill_child(borrower);
        assert_int_equal(lease_take_back(&lent.spool, true), LEASE_ENDED);
        spool_close(&lent.borrowed);
        (void)spool_fill(&lent.spool, 0, lent.out); /* what follows it in the pipe */
        check_held(&lent);
        check_slots(&lent.spool);
        spool_release(&lent.spool, 0, lent.spool.head[0]);
    }
    kill_child(writer);
    close_lent(&lent);
}

/* --- a borrower that lies --- */

static void lie_head_back(struct spool_file *file)
{
    file->head[0] = 5;
}

static void lie_tail_back(struct spool_file *file)
{
    file->tail[0] = 0;
}

static void lie_tail_beyond(struct spool_file *file)
{
    file->tail[0] = file->head[0] + 1;
}

static void lie_head_far(struct spool_file *file)
{
    file->head[0] = UINT64_MAX;
}

static void lie_head_beyond(struct spool_file *file)
{
    file->head[0] += SPOOL_BYTES;
}

static void lie_slot(struct spool_file *file)
{
    uint32_t slot = file->slots;
    memcpy((char *)file + spool_table_offset(file->slots, 0, file->tail[0]), &slot, sizeof(slot));
}

static void lie_slot_twice(struct spool_file *file)
{
    uint32_t slot = 0;
    memcpy(&slot, (char *)file + spool_table_offset(file->slots, 0, file->tail[0]), sizeof(slot));
    file->head[1] = 1;
    memcpy((char *)file + spool_table_offset(file->slots, 1, 0), &slot, sizeof(slot));
}

static void test_lies_are_found(void **state)
{
    (void)state;
    void (*const lies[])(struct spool_file *) = {lie_head_back, lie_tail_back,   lie_tail_beyond,
                                                 lie_head_far,  lie_head_beyond, lie_slot,
                                                 lie_slot_twice};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct lent lent = {0};
        open_lent(&lent);
        write_some(&lent, 0, 200000);
        (void)spool_fill(&lent.spool, 0, lent.out);
        spool_release(&lent.spool, 0, 1000);
        lend(&lent);
        lies[i](spool_file(&lent.borrowed));
        assert_int_equal(lease_take_back(&lent.spool, false), LEASE_BROKEN);
        close_lent(&lent);
    }
}

static void test_a_lie_about_the_last_read_moves_nothing(void **state)
{
    (void)state;
    const struct {
        uint32_t stream, length;
        int64_t from;
    } rows[] = {{2, 100, 0}, {0, 8, 0}, {0, SPOOL_SLOT_BYTES, 0}, {0, 100, 1}, {1, 100, -20000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lent lent = {0};
        open_lent(&lent);
        lend(&lent);
        write_some(&lent, 0, 20000);
        assert_int_equal(lease_fill(&lent.borrowed, 0, lent.out), LEASE_READ);
        struct spool_file *file = spool_file(&lent.borrowed);
        die_reading(&lent, 100, true);
        file->reading_stream = rows[i].stream;
        file->reading = rows[i].length;
        file->reading_from = (uint64_t)((int64_t)file->reading_from + rows[i].from);
        /* The table of stream 1 is empty, so its slot 0 would be that of stream 0. */
        assert_int_equal(lease_take_back(&lent.spool, true),
                         rows[i].stream == 1 ? LEASE_BROKEN : LEASE_ENDED);
        assert_int_equal(lent.spool.head[0], 20000);
        close_lent(&lent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_the_owners_again),
        cmocka_unit_test(test_who_had_it_gets_nowhere),
        cmocka_unit_test(test_what_ends_a_lease),
        cmocka_unit_test(test_no_room_ends_a_lease),
        cmocka_unit_test(test_packets_stay_whole),
        cmocka_unit_test(test_what_cannot_be_lent),
        cmocka_unit_test(test_a_read_before_death_counts_and_one_that_was_not_does_not),
        cmocka_unit_test(test_a_read_that_counts_already_does_not_count_twice),
        cmocka_unit_test(test_nothing_is_lost_however_a_borrower_is_killed),
        cmocka_unit_test(test_lies_are_found),
        cmocka_unit_test(test_a_lie_about_the_last_read_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
