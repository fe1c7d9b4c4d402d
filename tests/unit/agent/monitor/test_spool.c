/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/limits.h"
#include "agent/monitor/spool.h"

#define PIPE_BYTES 65536

static char byte_at(int stream, uint64_t offset)
{
    return (char)(offset * 31 + offset / 65536 + (uint64_t)stream * 7);
}

/* Writes the next bytes of a stream into the pipe. */
static void write_some(int fd, int stream, uint64_t offset, size_t length)
{
    char bytes[PIPE_BYTES];
    for (size_t i = 0; i < length; i++) {
        bytes[i] = byte_at(stream, offset + i);
    }
    assert_int_equal(write(fd, bytes, length), length);
}

static void check_held(const struct spool *spool, const struct spool_view *view, int stream)
{
    static char bytes[3 * SPOOL_SLOT_BYTES / 2]; /* reads that cross slots, from odd offsets */
    for (uint64_t at = spool->tail[stream]; at < spool->head[stream];) {
        uint64_t left = spool->head[stream] - at;
        size_t length = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
        assert_int_equal(spool_view_read(view, stream, at, bytes, length), 0);
        for (size_t i = 0; i < length; i += 997) {
            assert_int_equal(bytes[i], byte_at(stream, at + i));
        }
        at += length;
    }
}

/* Both streams in turn, far beyond the limit, with a reader that is always a little behind. */
static void run_round(int64_t limit, const char *directory, size_t piece, uint64_t behind)
{
    struct spool spool;
    struct spool_view view;
    struct error err;
    int pipes[SPOOL_STREAMS][2];
    assert_int_equal(spool_open(&spool, limit, directory, &err), 0);
    assert_int_equal(spool_view_open(&view, spool.reader_fd), 0);
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        assert_int_equal(pipe2(pipes[stream], O_NONBLOCK | O_CLOEXEC), 0);
    }
    for (int round = 0; round < 200; round++) {
        int stream = round % 3 == 0;
        write_some(pipes[stream][1], stream, spool.head[stream], piece);
        assert_int_equal(spool_fill(&spool, stream, pipes[stream][0]), SPOOL_DRY);
        check_held(&spool, &view, 0);
        check_held(&spool, &view, 1);
        if (spool.head[stream] > behind) {
            spool_release(&spool, stream, spool.head[stream] - behind);
        }
    }
    for (int stream = 0; stream < SPOOL_STREAMS; stream++) {
        (void)close(pipes[stream][1]);
        assert_int_equal(spool_fill(&spool, stream, pipes[stream][0]), SPOOL_ENDED);
        (void)close(pipes[stream][0]);
    }
    spool_view_close(&view);
    spool_close(&spool);
}

static void test_bytes_stay_until_released(void **state)
{
    (void)state;
    run_round(8 * SPOOL_SLOT_BYTES, NULL, PIPE_BYTES, 100);
    run_round(8 * SPOOL_SLOT_BYTES, NULL, 61441, SPOOL_SLOT_BYTES);
    run_round(8 * SPOOL_SLOT_BYTES, "/tmp", 12345, 0);
}

static void test_a_full_pool_reads_again_after_a_release(void **state)
{
    (void)state;
    struct spool spool;
    struct error err;
    int ends[2];
    uint64_t limit = 4 * SPOOL_SLOT_BYTES;
    assert_int_equal(spool_open(&spool, (int64_t)limit, NULL, &err), 0);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    for (uint64_t done = 0; done < limit; done += SPOOL_SLOT_BYTES / 2) {
        write_some(ends[1], 0, done, SPOOL_SLOT_BYTES / 2);
        (void)spool_fill(&spool, 0, ends[0]);
    }
    write_some(ends[1], 0, limit, 1);
    assert_int_equal(spool_fill(&spool, 0, ends[0]), SPOOL_FULL);
    assert_int_equal(spool.head[0], limit);
    spool_release(&spool, 0, SPOOL_SLOT_BYTES - 1); /* less than a slot */
    assert_int_equal(spool_fill(&spool, 0, ends[0]), SPOOL_FULL);
    spool_release(&spool, 0, SPOOL_SLOT_BYTES);
    assert_int_equal(spool_fill(&spool, 0, ends[0]), SPOOL_DRY);
    assert_int_equal(spool.head[0], limit + 1);
    spool_release(&spool, 0, limit + 2); /* the future: ignored */
    spool_release(&spool, 0, 5);         /* the past: ignored */
    assert_int_equal(spool.tail[0], SPOOL_SLOT_BYTES);
    (void)close(ends[0]);
    (void)close(ends[1]);
    spool_close(&spool);
}

static int64_t reserved(const struct spool *spool)
{
    struct stat status;
    assert_int_equal(fstat(spool->fd, &status), 0);
    return status.st_blocks * 512;
}

static void test_a_full_pipe_in_one_read(void **state)
{
    (void)state;
    static char bytes[LIMIT_PIPE_BYTES];
    struct spool spool;
    struct error err;
    int ends[2];
    assert_int_equal(spool_open(&spool, 16 << 20, NULL, &err), 0);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, sizeof(bytes)) >= (int)sizeof(bytes));
    int64_t before = reserved(&spool);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(spool_fill(&spool, 0, ends[0]), SPOOL_DRY);
    assert_int_equal(reserved(&spool), before); /* slots are not taken in advance */
    assert_int_equal(write(ends[1], bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(spool_fill(&spool, 0, ends[0]), SPOOL_DRY);
    assert_int_equal(spool.head[0], 1 + sizeof(bytes));
    spool_release(&spool, 0, spool.head[0]);
    /* All slots except the last, which holds one byte. */
    assert_int_equal(spool.free_count, spool.allocated - 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    spool_close(&spool);
}

static void test_memory_of_a_burst_is_freed(void **state)
{
    (void)state;
    struct spool spool;
    struct error err;
    struct stat status;
    int ends[2];
    uint64_t burst = 16 << 20;
    assert_int_equal(spool_open(&spool, 64 << 20, NULL, &err), 0);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    for (uint64_t done = 0; done < burst; done += PIPE_BYTES) {
        write_some(ends[1], 0, done, PIPE_BYTES);
        (void)spool_fill(&spool, 0, ends[0]);
    }
    assert_int_equal(fstat(spool.fd, &status), 0);
    assert_true(status.st_blocks * 512 >= (int64_t)burst);
    spool_release(&spool, 0, burst);
    assert_int_equal(fstat(spool.fd, &status), 0);
    assert_true(status.st_blocks * 512 < 5 << 20);
    struct spool_view view; /* the rest of the last slot is used next */
    assert_int_equal(spool_view_open(&view, spool.reader_fd), 0);
    for (uint64_t done = burst; done < 2 * burst; done += PIPE_BYTES) {
        write_some(ends[1], 0, done, PIPE_BYTES);
        (void)spool_fill(&spool, 0, ends[0]);
    }
    check_held(&spool, &view, 0);
    spool_view_close(&view);
    (void)close(ends[0]);
    (void)close(ends[1]);
    spool_close(&spool);
}

static void test_a_reader_cannot_write(void **state)
{
    (void)state;
    struct spool spool;
    struct error err;
    assert_int_equal(spool_open(&spool, LIMIT_SPOOL_LEAST_BYTES, NULL, &err), 0);
    assert_int_equal(write(spool.reader_fd, "x", 1), -1);
    assert_int_equal(ftruncate(spool.reader_fd, 0), -1);
    spool_close(&spool);
    assert_int_equal(spool_open(&spool, LIMIT_SPOOL_LEAST_BYTES, "/nonexistent", &err), -1);
    assert_non_null(strstr(err.message, "/nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_stay_until_released),
        cmocka_unit_test(test_a_full_pool_reads_again_after_a_release),
        cmocka_unit_test(test_a_full_pipe_in_one_read),
        cmocka_unit_test(test_memory_of_a_burst_is_freed),
        cmocka_unit_test(test_a_reader_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
