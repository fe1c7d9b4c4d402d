/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "driver/backend/ecs/generated.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"

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

/* What the rules allow on the SSH port. */
struct ingress {
    bool any;         /* a rule applies to the port */
    bool everybody;   /* 0.0.0.0/0 */
    bool own;         /* an address of this machine */
    char source[128]; /* an allowed group or block */
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

static void read_rule(const cJSON *rule, struct ingress *ingress)
{
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, json_at(rule, "ipRanges"))
    {
        const char *block = json_text_at(entry, "cidrIp");
        if (block != NULL) {
            ingress->any = true;
            ingress->everybody = ingress->everybody || strcmp(block, "0.0.0.0/0") == 0;
            ingress->own = ingress->own || holds_own_address(block);
            (void)snprintf(ingress->source, sizeof(ingress->source), "%s", block);
        }
    }
    cJSON_ArrayForEach(entry, json_at(rule, "groups"))
    {
        const char *group = json_text_at(entry, "groupId");
        if (group != NULL) {
            ingress->any = true;
            ingress->own = true; /* whether this machine is in the group is not known here */
            (void)snprintf(ingress->source, sizeof(ingress->source), "%s", group);
        }
    }
}

static void report_ingress(struct doctor *doctor, const struct ingress *ingress, int64_t number)
{
    long long port = (long long)number;
    if (!ingress->any) {
        doctor_report(
            doctor, DOCTOR_FAIL,
            "allow it for the group of this machine: aws ec2 authorize-security-group-ingress "
            "--protocol tcp --port PORT --source-group GROUP",
            "no security group rule allows TCP port %lld", port);
    } else if (ingress->everybody) {
        doctor_report(doctor, DOCTOR_WARN, "allow only the security group of this machine",
                      "the security groups allow 0.0.0.0/0 on port %lld", port);
    } else if (!ingress->own) {
        doctor_report(doctor, DOCTOR_WARN,
                      "ignore this if this machine reaches tasks from another address",
                      "port %lld is open for '%s', which contains no address of this machine", port,
                      ingress->source);
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "port %lld is open for '%s'", port, ingress->source);
    }
}

/* Fills 'out_ports' with what this machine connects to; returns how many. */
static size_t list_ports(const struct config *config, int64_t out_ports[3])
{
    const struct config_fargate *fargate = &config->fargate;
    size_t count = 0;
    if (fargate->image == NULL) {
        out_ports[count++] = config->ssh_port;
    }
    if (ecs_generates(config)) {
        out_ports[count++] = fargate->job_port;
        if (strcmp(config->helper.use, "never") != 0) {
            out_ports[count++] = fargate->helper_port;
        }
    }
    return count;
}

static void check_port(struct doctor *doctor, const cJSON *groups, int64_t port)
{
    struct ingress ingress = {0};
    const cJSON *group = NULL;
    const cJSON *rule = NULL;
    cJSON_ArrayForEach(group, groups)
    {
        cJSON_ArrayForEach(rule, json_at(group, "ipPermissions"))
        {
            if (is_about_port(rule, port)) {
                read_rule(rule, &ingress);
            }
        }
    }
    report_ingress(doctor, &ingress, port);
}

void doctor_check_groups(struct doctor *doctor)
{
    int64_t ports[3];
    const struct config_list *list = &doctor->config->fargate.security_groups;
    struct ec2_parameters parameters = {0};
    const cJSON *group = NULL;
    if (list->count == 0) {
        doctor_report(doctor, DOCTOR_WARN, "set [Fargate] SecurityGroup",
                      "no security group is set: tasks get the VPC's default group, which allows "
                      "only its own members");
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
        if (vpc != NULL && doctor->vpc[0] != '\0' && strcmp(vpc, doctor->vpc) != 0) {
            doctor_report(doctor, DOCTOR_FAIL, "name groups of the subnets' VPC",
                          "security group '%s' is in '%s', the subnets are in '%s'",
                          id == NULL ? "" : id, vpc, doctor->vpc);
        }
    }
    for (size_t i = 0, count = list_ports(doctor->config, ports); i < count; i++) {
        check_port(doctor, groups, ports[i]);
    }
    cJSON_Delete(groups);
}
