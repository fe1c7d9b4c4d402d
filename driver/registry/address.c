/* SPDX-License-Identifier: MIT */
#include "driver/registry/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_BYTES 256

static bool ipv4_is_allowed(const unsigned char bytes[4])
{
    static const struct {
        unsigned char first, second, bits; /* 8 or 16 */
    } refused[] = {{0, 0, 8}, {127, 0, 8}, {169, 254, 16}};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (bytes[0] == refused[i].first &&
            (refused[i].bits == 8 || bytes[1] == refused[i].second)) {
            return false;
        }
    }
    return bytes[0] < 224; /* multicast, reserved, broadcast */
}

static bool ipv6_is_allowed(const unsigned char bytes[16])
{
    /* Prefixes with an IPv4 address behind them. */
    static const struct {
        unsigned char prefix[12];
        size_t length;
    } embedding[] = {
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12}, /* RFC 4291, IPv4-mapped */
        {{0}, 12}, /* IPv4-compatible; the unspecified address and loopback too: 0.0.0.x */
        {{0x00, 0x64, 0xff, 0x9b}, 12}, /* RFC 6052, NAT64 */
        {{0x20, 0x02}, 2},              /* RFC 3056, 6to4 */
    };
    static const unsigned char ec2[] = {0xfd, 0x00, 0x0e, 0xc2};
    for (size_t i = 0; i < sizeof(embedding) / sizeof(embedding[0]); i++) {
        if (memcmp(bytes, embedding[i].prefix, embedding[i].length) == 0) {
            return ipv4_is_allowed(bytes + embedding[i].length);
        }
    }
    bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
    return !link_local && bytes[0] != 0xff && memcmp(bytes, ec2, sizeof(ec2)) != 0;
}

bool address_is_allowed(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        unsigned char bytes[4];
        memcpy(&in, address, sizeof(in));
        memcpy(bytes, &in.sin_addr, sizeof(bytes));
        return ipv4_is_allowed(bytes);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof(in));
        return ipv6_is_allowed(in.sin6_addr.s6_addr);
    }
    return false;
}

/* "127.1", "0x7f000001" and the like, which inet_aton(3) reads as addresses. */
static bool is_number(const char *host)
{
    const char *last = strrchr(host, '.');
    last = last == NULL ? host : last + 1;
    bool hexadecimal = last[0] == '0' && (last[1] == 'x' || last[1] == 'X');
    return last[0] != '\0' && (hexadecimal || last[strspn(last, "0123456789")] == '\0');
}

bool address_host_is_allowed(const char *host)
{
    char text[HOST_BYTES];
    unsigned char bytes[16];
    size_t length = strlen(host);
    if (length == 0 || length >= sizeof(text)) {
        return false;
    }
    if (host[0] == '[') {
        (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(host + 1, "]%"), host + 1);
        return inet_pton(AF_INET6, text, bytes) == 1 && ipv6_is_allowed(bytes);
    }
    (void)snprintf(text, sizeof(text), "%s", host);
    if (text[length - 1] == '.') {
        text[length - 1] = '\0';
    }
    if (inet_pton(AF_INET, text, bytes) == 1) {
        return ipv4_is_allowed(bytes);
    }
    if (strchr(text, ':') != NULL || is_number(text)) {
        return false;
    }
    size_t kept = strlen(text);
    static const char local[] = "localhost";
    size_t suffix = sizeof(local) - 1;
    return !(kept >= suffix && strcasecmp(text + kept - suffix, local) == 0 &&
             (kept == suffix || text[kept - suffix - 1] == '.'));
}
