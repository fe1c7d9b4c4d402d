/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "driver/backend/docker_job.h"
#include "driver/backend/docker_task.h"
#include "driver/json.h"

static int set_host(struct metadata *metadata, const char *address, int64_t port, struct error *err)
{
    if (address == NULL || address[0] == '\0' || strlen(address) >= METADATA_ADDRESS_BYTES ||
        port < 1 || port > 65535) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "the container has no address to reach it at; name a bridge network with "
                         "[Docker] Network, or set Publish = true");
    }
    (void)snprintf(metadata->host, METADATA_ADDRESS_BYTES, "%s", address);
    metadata->port = (int)port;
    return 0;
}

/* An SSH target is a numeric address. */
static int resolve(const char *machine, char out[METADATA_ADDRESS_BYTES], struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(machine, NULL, &hints, &found);
    if (failure == 0) {
        failure = getnameinfo(found->ai_addr, found->ai_addrlen, out, METADATA_ADDRESS_BYTES, NULL,
                              0, NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    return failure == 0 ? 0
                        : error_set(err, ERROR_SYSTEM, 0, "cannot resolve '%s': %s", machine,
                                    gai_strerror(failure));
}

static int find_published(const struct docker *docker, const cJSON *container,
                          struct metadata *metadata, struct error *err)
{
    char port[32];
    char address[METADATA_ADDRESS_BYTES] = "127.0.0.1";
    int64_t number = 0;
    (void)snprintf(port, sizeof(port), "%d/tcp", DOCKER_AGENT_PORT);
    const cJSON *bindings =
        cJSON_GetObjectItemCaseSensitive(json_at(container, "NetworkSettings.Ports"), port);
    const char *text = json_text_at(cJSON_GetArrayItem(bindings, 0), "HostPort");
    if (text == NULL || parse_integer(text, 1, 65535, &number) < 0) {
        number = 0;
    }
    if (docker->machine[0] != '\0' && resolve(docker->machine, address, err) < 0) {
        return -1;
    }
    return set_host(metadata, address, number, err);
}

/* The configured network first: there the machine that runs this program may be a container
 * itself. */
static int find_own(const struct docker *docker, const cJSON *container, struct metadata *metadata,
                    struct error *err)
{
    const cJSON *networks = json_at(container, "NetworkSettings.Networks");
    const char *preferred = docker->config->docker.network;
    const cJSON *network =
        preferred == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(networks, preferred);
    const char *address = json_text_at(network, "IPAddress");
    cJSON_ArrayForEach(network, networks)
    {
        if (address == NULL || address[0] == '\0') {
            address = json_text_at(network, "IPAddress");
        }
    }
    return set_host(metadata, address, DOCKER_AGENT_PORT, err);
}

int docker_find_address(const struct docker *docker, const cJSON *container, bool published,
                        struct metadata *metadata, struct error *err)
{
    return published ? find_published(docker, container, metadata, err)
                     : find_own(docker, container, metadata, err);
}
