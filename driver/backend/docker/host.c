/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/parse.h"
#include "driver/base/home.h"

#define DEFAULT_SOCKET "/var/run/docker.sock"
#define PLAIN_PORT     2375
#define TLS_PORT       2376

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static int set_socket(struct docker_host *host, const char *path, struct error *err)
{
    if (path[0] != '/' || strlen(path) >= sizeof(host->socket)) {
        return error_set(err, ERROR_USAGE, 0,
                         "Docker's socket '%s' is not an absolute path of up to %zu bytes", path,
                         sizeof(host->socket) - 1);
    }
    (void)snprintf(host->socket, sizeof(host->socket), "%s", path);
    (void)snprintf(host->shown, sizeof(host->shown), "unix://%s", path);
    (void)snprintf(host->url, sizeof(host->url), "http://docker");
    return 0;
}

/* The system's engine, or a rootless one of this user. */
static int set_default(struct docker_host *host, struct error *err)
{
    const char *runtime = variable("XDG_RUNTIME_DIR");
    char own[PATH_MAX];
    if (access(DEFAULT_SOCKET, F_OK) < 0 && runtime != NULL) {
        int length = snprintf(own, sizeof(own), "%s/docker.sock", runtime);
        if (length > 0 && (size_t)length < sizeof(host->socket) && access(own, F_OK) == 0) {
            return set_socket(host, own, err);
        }
    }
    return set_socket(host, DEFAULT_SOCKET, err);
}

static int set_certificates(struct docker_host *host, const struct config *config,
                            struct error *err)
{
    char base[PATH_MAX];
    const char *directory = config->docker.certificate_directory;
    if (directory == NULL) {
        directory = variable("DOCKER_CERT_PATH");
    }
    const char *home = home_directory();
    int length = directory != NULL
                     ? snprintf(base, sizeof(base), "%s", directory)
                     : snprintf(base, sizeof(base), "%s/.docker", home == NULL ? "" : home);
    const struct {
        const char *name;
        char *path;
    } files[] = {{"ca.pem", host->ca_file},
                 {"cert.pem", host->certificate_file},
                 {"key.pem", host->key_file}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (length < 0 || (size_t)length + 16 > sizeof(base) ||
            snprintf(files[i].path, PATH_MAX, "%.*s/%s", PATH_MAX - 16, base, files[i].name) < 0 ||
            access(files[i].path, R_OK) < 0) {
            (void)error_set(err, ERROR_USAGE, errno, "cannot read '%s/%s' for TLS", base,
                            files[i].name);
            return error_hint(err, "set [Docker] CertPath or DOCKER_CERT_PATH");
        }
    }
    return 0;
}

static int set_tcp(struct docker_host *host, const struct config *config, const char *where,
                   struct error *err)
{
    enum config_tristate wanted = config->docker.tls_verify;
    host->tls =
        wanted == CONFIG_UNSET ? variable("DOCKER_TLS_VERIFY") != NULL : wanted == CONFIG_YES;
    const char *end = where[0] == '[' ? strchr(where, ']') : strrchr(where, ':');
    const char *colon = end != NULL && end[0] == ']' ? strchr(end, ':') : end;
    size_t length = colon != NULL ? (size_t)(colon - where) : strcspn(where, "/");
    int64_t port = host->tls ? TLS_PORT : PLAIN_PORT;
    char text[16];
    if (colon != NULL) {
        (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(colon + 1, "/"), colon + 1);
    }
    if (length == 0 || length >= sizeof(host->machine) ||
        (colon != NULL && parse_integer(text, 1, 65535, &port) < 0)) {
        return error_set(err, ERROR_USAGE, 0, "Docker's address 'tcp://%s' is not tcp://HOST:PORT",
                         where);
    }
    (void)snprintf(host->url, sizeof(host->url), "%s://%.*s:%lld", host->tls ? "https" : "http",
                   (int)length, where, (long long)port);
    (void)snprintf(host->shown, sizeof(host->shown), "tcp://%.*s:%lld",
                   (int)(length < 240 ? length : 240), where, (long long)port);
    bool bracketed = where[0] == '[' && length > 2;
    (void)snprintf(host->machine, sizeof(host->machine), "%.*s",
                   (int)(length - (bracketed ? 2 : 0)), where + (bracketed ? 1 : 0));
    return 0;
}

static int set_address(struct docker_host *host, const struct config *config, const char *where,
                       struct error *err)
{
    if (where[0] == '/') {
        return set_socket(host, where, err);
    }
    if (strncmp(where, "unix://", 7) == 0) {
        return set_socket(host, where + 7, err);
    }
    if (strncmp(where, "tcp://", 6) == 0) {
        return set_tcp(host, config, where + 6, err);
    }
    (void)error_set(err, ERROR_USAGE, 0,
                    "Docker's address '%s' is neither unix://PATH nor tcp://HOST:PORT", where);
    return strncmp(where, "ssh:", 4) == 0
               ? error_hint(err, "forward the socket with 'ssh -L' and use the local one")
               : -1;
}

int docker_host_find(const struct config *config, struct docker_host *out_host, struct error *err)
{
    char place[CONFIG_PLACE_BYTES];
    const char *where = config->docker.host != NULL ? config->docker.host : variable("DOCKER_HOST");
    *out_host = (struct docker_host){0};
    if (where == NULL) {
        return set_default(out_host, err);
    }
    if (set_address(out_host, config, where, err) < 0) {
        return error_wrap(err, "%s",
                          config_place(config, &config->docker.host, "DOCKER_HOST", place));
    }
    return out_host->tls ? set_certificates(out_host, config, err) : 0;
}

int docker_host_probe(const struct docker_host *host, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (host->socket[0] == '\0') {
        return 0;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", host->socket);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot create a socket");
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        return 0;
    }
    int reason = errno;
    const char *help = reason == EACCES || reason == EPERM
                           ? "add this user to the group 'docker', or run as root"
                           : "start it, or set [Docker] Host or DOCKER_HOST";
    (void)error_set(err, ERROR_SYSTEM, reason, "%s the Docker Engine at '%s'",
                    reason == EACCES ? "not allowed to use" : "cannot reach", host->shown);
    return error_hint(err, "%s", help);
}
