/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/agent.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "driver/backend/embedded_agent.h"
#include "driver/backend/tar.h"
#include "driver/registry/platform.h"

#define PROGRAM_CEILING_BYTES (64UL << 20)
#define HEADERS_CEILING_BYTES (1UL << 20) /* of the archive */
#define PATH_BYTES            256
#define IN_ARCHIVE(path)      (&(path)[1]) /* relative */

/* The embedded agent is for the processor of this program. */
#if defined(__x86_64__)
#define OWN_PROCESSOR "amd64"
#elif defined(__aarch64__)
#define OWN_PROCESSOR "arm64"
#else
#error "add Docker's name for this processor"
#endif

void docker_agent_processor(const struct config *config, char out[ELF_PROCESSOR_BYTES])
{
    const char *path = config->docker.agent;
    char header[sizeof(Elf64_Ehdr)];
    struct elf_file program;
    (void)snprintf(out, ELF_PROCESSOR_BYTES, "%s", path == NULL ? OWN_PROCESSOR : "");
    cleanup_fd int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && read(fd, header, sizeof(header)) == (ssize_t)sizeof(header) &&
        elf_file_read(header, sizeof(header), &program) == 0) {
        (void)snprintf(out, ELF_PROCESSOR_BYTES, "%s", program.processor);
    }
}

/* Whether a program for one processor may run in an image for the other; unknown ones are tried. */
static bool fits(const char *program, const char *image)
{
    return program[0] == '\0' || image[0] == '\0' || strcmp(program, image) == 0;
}

int docker_agent_load(const struct config *config, const char *name, const cJSON *image, bool shell,
                      struct docker_agent *out_agent, struct error *err)
{
    char configured[ELF_PROCESSOR_BYTES];
    struct image_platform platform;
    image_platform_of_image(image, &platform);
    docker_agent_processor(config, configured);
    *out_agent = (struct docker_agent){0};
    buffer_init(&out_agent->file, PROGRAM_CEILING_BYTES);
    buffer_init(&out_agent->busybox, PROGRAM_CEILING_BYTES);
    if (config->docker.agent != NULL && fits(configured, platform.architecture)) {
        if (fd_read_file(config->docker.agent, &out_agent->file, err) < 0) {
            return -1;
        }
        out_agent->program = out_agent->file.bytes;
        out_agent->program_length = out_agent->file.length;
    } else if (fits(OWN_PROCESSOR, platform.architecture)) {
        out_agent->program_length = embedded_agent_bytes(&out_agent->program);
    } else {
        return error_set(err, ERROR_USAGE, 0,
                         "the image '%s' is for %s, but this berth-agent is built for %s; set "
                         "[Docker] Agent to a berth-agent for %s",
                         name, platform.architecture, configured, platform.architecture);
    }
    const char *processor = platform.architecture[0] == '\0' ? configured : platform.architecture;
    return shell && elf_file_busybox(config, processor, &out_agent->busybox, err) < 0 ? -1 : 0;
}

void docker_agent_done(struct docker_agent *agent)
{
    buffer_done(&agent->file);
    buffer_done(&agent->busybox);
}

/* The archive without the bytes of the two files, which are sent from where they are. */
struct archive {
    struct buffer frame;
    size_t program_at, busybox_at; /* in the frame */
    struct http_part parts[5];
};

static int build_frame(const struct docker_agent *agent, const char *const *directories,
                       struct archive *archive)
{
    struct buffer *frame = &archive->frame;
    size_t busybox_length = agent->busybox.length;
    for (size_t i = 0; directories[i] != NULL; i++) {
        if (tar_directory(frame, IN_ARCHIVE(directories[i]), 0777) < 0) {
            return -1;
        }
    }
    if (tar_directory(frame, IN_ARCHIVE(DOCKER_AGENT_DIRECTORY), 0755) < 0 ||
        tar_file_begin(frame, IN_ARCHIVE(DOCKER_AGENT_PATH), 0755, agent->program_length) < 0) {
        return -1;
    }
    archive->program_at = archive->busybox_at = frame->length;
    if (tar_file_end(frame, agent->program_length) < 0) {
        return -1;
    }
    if (busybox_length > 0) {
        if (tar_file_begin(frame, IN_ARCHIVE(DOCKER_AGENT_DIRECTORY "/busybox"), 0755,
                           busybox_length) < 0) {
            return -1;
        }
        archive->busybox_at = frame->length;
        if (tar_file_end(frame, busybox_length) < 0) {
            return -1;
        }
    }
    return tar_end(frame);
}

static int build_archive(const struct docker_agent *agent, const char *const *directories,
                         struct archive *archive)
{
    if (build_frame(agent, directories, archive) < 0) {
        return -1;
    }
    const char *frame = archive->frame.bytes;
    const struct http_part parts[] = {
        {frame, archive->program_at},
        {agent->program, agent->program_length},
        {frame + archive->program_at, archive->busybox_at - archive->program_at},
        {agent->busybox.bytes, agent->busybox.length},
        {frame + archive->busybox_at, archive->frame.length - archive->busybox_at},
    };
    memcpy(archive->parts, parts, sizeof(parts));
    return 0;
}

int docker_agent_put(struct docker *docker, const struct docker_agent *agent,
                     const char *const *directories, const char *id, int64_t deadline_ms,
                     struct error *err)
{
    static const char *const headers[] = {"Content-Type: application/x-tar", NULL};
    char path[PATH_BYTES];
    struct archive archive;
    struct http_answer answer = {0};
    int result = 0;
    buffer_init(&archive.frame, HEADERS_CEILING_BYTES);
    buffer_init(&answer.body, 1UL << 16);
    if (build_archive(agent, directories, &archive) < 0) {
        result = error_set(err, ERROR_SYSTEM, ENOMEM, "cannot pack the agent");
    }
    if (result == 0 &&
        docker_path(path, sizeof(path), "/containers/%s/archive?path=%s", id, "/") < 0) {
        result = error_set(err, ERROR_PEER, 0, "the Docker Engine's id is too long");
    }
    if (result == 0) {
        struct http_request request = {
            .method = "PUT",
            .url = path,
            .headers = headers,
            .parts = archive.parts,
            .part_count = sizeof(archive.parts) / sizeof(archive.parts[0]),
            .deadline_ms = deadline_ms,
        };
        result = docker_raw(docker, &request, &answer, err);
    }
    if (result == 0 && answer.status >= 400) {
        result = docker_refused_text(answer.status, answer.body.bytes, "PUT", "archive", err);
    }
    buffer_done(&answer.body);
    buffer_done(&archive.frame);
    return result < 0 ? error_wrap(err, "cannot copy the agent into the container") : 0;
}
