/* SPDX-License-Identifier: MIT */
/*
 * orphans.c - makes orphans for the process 1 of its own PID namespace: orphans COUNT.
 *
 * Each is the child of a process that has ended. Ends when process 1 has reaped all of them, and
 * prints the nanoseconds from the first fork until then, and the CPU nanoseconds of process 1.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long cpu_of_init(void)
{
    long long ns = -1;
    FILE *file = fopen("/proc/1/schedstat", "re");
    if (file == NULL || fscanf(file, "%lld", &ns) != 1) {
        exit(1);
    }
    (void)fclose(file);
    return ns;
}

static int make_orphan(void)
{
    pid_t middle = fork();
    if (middle == 0) {
        _exit(fork() < 0 ? 1 : 0); /* both of them end here */
    }
    int status = 1;
    return middle < 0 || waitpid(middle, &status, 0) < 0 || status != 0 ? -1 : 0;
}

/* Processes of this namespace other than process 1 and this one. */
static int others(void)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        long pid = strtol(entry->d_name, NULL, 10);
        count += pid > 1 && pid != getpid();
    }
    (void)closedir(proc);
    return count;
}

int main(int argc, char **argv)
{
    long count = argc < 2 ? 0 : strtol(argv[1], NULL, 10);
    int before = others(); /* a monitor, a shell */
    long long cpu_ns = cpu_of_init();
    long long started_ns = now_ns();
    for (long i = 0; i < count; i++) {
        if (make_orphan() < 0) {
            perror("orphans");
            return 1;
        }
    }
    while (others() > before) {
        (void)usleep(200);
    }
    printf("%lld %lld\n", now_ns() - started_ns, cpu_of_init() - cpu_ns);
    return 0;
}
