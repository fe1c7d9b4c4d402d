/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "driver/doctor/ec2.h"
#include "driver/json.h"

/* Whether an address of this machine is in the block. */
static bool holds_own_address(const char *block)
{
    char network[INET_ADDRSTRLEN];
    struct in_addr base;
    struct ifaddrs *all = NULL;
    int64_t bits = 0;
    bool found = false;
    const char *slash = strchr(block, '/');
    (void)snprintf(network, sizeof(network), "%.*s", (int)strcspn(block, "/"), block);
    if (slash == NULL || parse_integer(slash + 1, 0, 32, &bits) < 0 ||
        inet_pton(AF_INET, network, &base) != 1 || getifaddrs(&all) < 0) {
        return false;
    }
    uint32_t mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in own;
            memcpy(&own, at->ifa_addr, sizeof(own));
            found = found || ((ntohl(own.sin_addr.s_addr) ^ ntohl(base.s_addr)) & mask) == 0;
        }
    }
    freeifaddrs(all);
    return found;
}

/* What the rules say about the SSH port, the best of it. */
struct way_in {
    bool any;         /* some rule is about the port */
    bool everybody;   /* 0.0.0.0/0 */
    bool own;         /* an address of this machine */
    char source[128]; /* a group or block that may come in */
};

static bool is_about_port(const cJSON *rule, int64_t port)
{
    const char *protocol = json_text_at(rule, "ipProtocol");
    const char *from = json_text_at(rule, "fromPort");
    const char *to = json_text_at(rule, "toPort");
    int64_t first = 0;
    int64_t last = 65535;
    if (protocol == NULL || strcmp(protocol, "-1") == 0) {
        return protocol != NULL;
    }
    return strcmp(protocol, "tcp") == 0 && from != NULL && to != NULL &&
           parse_integer(from, 0, 65535, &first) == 0 && parse_integer(to, 0, 65535, &last) == 0 &&
           port >= first && port <= last;
}

static void read_rule(const cJSON *rule, struct way_in *way)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, json_at(rule, "ipRanges"))
    {
        const char *block = json_text_at(entry, "cidrIp");
        if (block != NULL) {
            way->any = true;
            way->everybody = way->everybody || strcmp(block, "0.0.0.0/0") == 0;
            way->own = way->own || holds_own_address(block);
            (void)snprintf(way->source, sizeof(way->source), "%s", block);
        }
    }
    cJSON_ArrayForEach(entry, json_at(rule, "groups"))
    {
        const char *group = json_text_at(entry, "groupId");
        if (group != NULL) {
            way->any = true;
            way->own = true; /* as far as can be seen from here */
            (void)snprintf(way->source, sizeof(way->source), "%s", group);
        }
    }
}

static void tell_way(struct doctor *doctor, const struct way_in *way)
{
    long long port = (long long)doctor->config->ssh_port;
    if (!way->any) {
        doctor_tell(
            doctor, DOCTOR_WRONG,
            "aws ec2 authorize-security-group-ingress --protocol tcp --port, with the group "
            "of this machine as --source-group",
            "no rule of the security groups lets TCP port %lld in", port);
    } else if (way->everybody) {
        doctor_tell(doctor, DOCTOR_ODD, "let in the security group of this machine alone",
                    "the security groups let the whole world in on port %lld", port);
    } else if (!way->own) {
        doctor_tell(
            doctor, DOCTOR_ODD, "if this machine reaches tasks by another address, all is well",
            "port %lld is open for '%s', where no address of this machine is", port, way->source);
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "port %lld is open for '%s'", port, way->source);
    }
}

void doctor_check_groups(struct doctor *doctor)
{
    const struct config_list *list = &doctor->config->fargate.security_groups;
    struct ec2_parameters parameters = {0};
    struct way_in way = {0};
    const cJSON *group = NULL;
    if (list->count == 0) {
        doctor_tell(doctor, DOCTOR_ODD, "set [Fargate] SecurityGroup",
                    "no security group is named: tasks get the default one of the VPC, which lets "
                    "nobody in but itself");
        return;
    }
    ec2_add_list(&parameters, "GroupId", list);
    cJSON *groups = doctor_ec2(doctor, "DescribeSecurityGroups", &parameters, "securityGroupInfo",
                               "check [Fargate] SecurityGroup, SecurityGroups and Region");
    if (groups == NULL) {
        return;
    }
    cJSON_ArrayForEach(group, groups)
    {
        const char *vpc = json_text_at(group, "vpcId");
        const char *id = json_text_at(group, "groupId");
        const cJSON *rule = NULL;
        if (vpc != NULL && doctor->vpc[0] != '\0' && strcmp(vpc, doctor->vpc) != 0) {
            doctor_tell(doctor, DOCTOR_WRONG, "name groups of the subnets' VPC",
                        "security group '%s' is in '%s', the subnets are in '%s'",
                        id == NULL ? "" : id, vpc, doctor->vpc);
        }
        cJSON_ArrayForEach(rule, json_at(group, "ipPermissions"))
        {
            if (is_about_port(rule, doctor->config->ssh_port)) {
                read_rule(rule, &way);
            }
        }
    }
    cJSON_Delete(groups);
    tell_way(doctor, &way);
}
