/* SPDX-License-Identifier: MIT */
/* A server's response, byte by byte, over a real socket and libcurl: status, Date, Retry-After,
 * fields of the caller, body. Beyond "no crash": every result is within its bounds, and a failure
 * has its kind. */
#include <curl/curl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "driver/base/http.h"
#include "tests/fuzz/fuzz.h"

#define DEADLINE_MS   5000
#define CEILING_BYTES 4096

static char directory[] = "/tmp/berth-fuzz-XXXXXX";
static char path[sizeof(directory) + 8];
static int listener = -1;
static const uint8_t *answer_bytes; /* of the call under way: http_call() makes one at a time */
static size_t answer_size;
static sem_t served;

/* Answers the end of a request's head with the bytes, whatever they are, and hangs up. */
static void serve_one(int fd)
{
    char head[8192] = "";
    size_t used = 0;
    ssize_t got = 1;
    while (got > 0 && used < sizeof(head) - 1 && strstr(head, "\r\n\r\n") == NULL) {
        got = read(fd, head + used, sizeof(head) - 1 - used);
        used += got > 0 ? (size_t)got : 0;
        head[used] = '\0';
    }
    (void)!fd_write_all(fd, answer_bytes, answer_size, clock_deadline_ms(DEADLINE_MS));
    (void)shutdown(fd, SHUT_WR);
}

static void *serve(void *unused)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            serve_one(fd);
            (void)close(fd);
            (void)sem_post(&served);
        }
    }
    return unused;
}

static void remove_socket(void)
{
    (void)unlink(path);
    (void)rmdir(directory);
}

static void listen_once(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    if (listener >= 0) {
        return;
    }
    fuzz_require(mkdtemp(directory) != NULL);
    (void)snprintf(path, sizeof(path), "%s/socket", directory);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)atexit(remove_socket);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fuzz_require(bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
    fuzz_require(listen(listener, 16) == 0);
    fuzz_require(sem_init(&served, 0, 0) == 0);
    fuzz_require(pthread_create(&thread, NULL, serve, NULL) == 0);
}

static void check_answer(const struct http_answer *answer, const struct http_field *field)
{
    fuzz_require(answer->status >= 0 && answer->status <= 999);
    fuzz_require(memchr(answer->date, '\0', sizeof(answer->date)) != NULL);
    fuzz_require(memchr(field->value, '\0', sizeof(field->value)) != NULL);
    /* A carriage return alone ends no line to libcurl; the log escapes it. */
    fuzz_require(strchr(answer->date, '\n') == NULL && strchr(field->value, '\n') == NULL);
    fuzz_require(answer->retry_after_ms >= 0 && answer->retry_after_ms <= 24LL * 3600 * 1000);
    fuzz_require(answer->body.length <= CEILING_BYTES);
    (void)curl_getdate(answer->date, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    listen_once();
    answer_bytes = bytes;
    answer_size = size;
    struct http_options options = {.unix_socket = path, .connect_ms = DEADLINE_MS};
    struct error err = {0};
    struct http *http = http_new(&options, &err);
    struct http_field field = {.name = "x-amzn-RequestId"};
    struct http_request request = {.method = size > 0 && bytes[size - 1] % 16 == 0 ? "HEAD" : "GET",
                                   .url = "http://docker/x",
                                   .deadline_ms = clock_deadline_ms(DEADLINE_MS),
                                   .fields = &field,
                                   .field_count = 1};
    struct http_answer answer = {.failure = HTTP_NOT_SENT};
    fuzz_require(http != NULL);
    buffer_init(&answer.body, CEILING_BYTES);
    if (http_call(http, &request, &answer, &err) == 0) {
        fuzz_require(answer.failure == 0);
    } else {
        fuzz_require(answer.failure != 0 && err.message[0] != '\0');
    }
    check_answer(&answer, &field);
    buffer_done(&answer.body);
    http_free(http);         /* hangs up */
    (void)sem_wait(&served); /* the bytes are libFuzzer's */
    return 0;
}
