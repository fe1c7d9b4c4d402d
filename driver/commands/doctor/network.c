/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "driver/base/json.h"
#include "driver/commands/doctor/calls.h"
#include "driver/commands/doctor/checks.h"

#define FEW_ADDRESSES 10
#define MISSING_BYTES 128
/* Services that a task reaches by VPC endpoints: those of an image in ECR, and the log's. */
enum { OF_IMAGE = 3, OF_IMAGE_AND_LOG = 4 };

/* --- routes of a subnet --- */

static const char *target_of(const cJSON *route)
{
    static const char *const places[] = {"natGatewayId", "gatewayId", "transitGatewayId",
                                         "networkInterfaceId", "instanceId"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const char *target = json_text_at(route, places[i]);
        if (target != NULL && target[0] != '\0') {
            return target;
        }
    }
    return "";
}

/* Target of the default route; empty: there is none. */
static const char *default_route(const cJSON *table)
{
    const cJSON *route = NULL;
    cJSON_ArrayForEach(route, json_at(table, "routeSet"))
    {
        const char *to = json_text_at(route, "destinationCidrBlock");
        if (to != NULL && strcmp(to, "0.0.0.0/0") == 0) {
            return target_of(route);
        }
    }
    return "";
}

/* The subnet's own route table, or the main one of its VPC. */
static cJSON *find_tables(struct doctor *doctor, const char *subnet)
{
    struct ec2_parameters own = {0};
    struct ec2_parameters main_one = {0};
    ec2_add(&own, "Filter.1.Name", "association.subnet-id");
    ec2_add(&own, "Filter.1.Value.1", subnet);
    cJSON *tables = doctor_ec2(doctor, "DescribeRouteTables", &own, "routeTableSet", NULL);
    if (tables == NULL || cJSON_GetArraySize(tables) > 0) {
        return tables;
    }
    cJSON_Delete(tables);
    ec2_add(&main_one, "Filter.1.Name", "vpc-id");
    ec2_add(&main_one, "Filter.1.Value.1", doctor->vpc);
    ec2_add(&main_one, "Filter.2.Name", "association.main");
    ec2_add(&main_one, "Filter.2.Value.1", "true");
    return doctor_ec2(doctor, "DescribeRouteTables", &main_one, "routeTableSet", NULL);
}

static bool has_endpoint(const cJSON *endpoints, const char *service)
{
    const cJSON *endpoint = NULL;
    cJSON_ArrayForEach(endpoint, endpoints)
    {
        const char *name = json_text_at(endpoint, "serviceName");
        size_t length = name == NULL ? 0 : strlen(name);
        if (length > strlen(service) && strcmp(name + length - strlen(service), service) == 0) {
            return true;
        }
    }
    return false;
}

/* The first 'count' services that have no endpoint in the VPC, as text; -1 without an answer. */
static int find_missing(struct doctor *doctor, size_t count, char out_missing[MISSING_BYTES])
{
    static const char *const services[] = {".ecr.api", ".ecr.dkr", ".s3", ".logs"};
    struct ec2_parameters parameters = {0};
    ec2_add(&parameters, "Filter.1.Name", "vpc-id");
    ec2_add(&parameters, "Filter.1.Value.1", doctor->vpc);
    cJSON *endpoints =
        doctor_ec2(doctor, "DescribeVpcEndpoints", &parameters, "vpcEndpointSet", NULL);
    out_missing[0] = '\0';
    if (endpoints == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_endpoint(endpoints, services[i])) {
            size_t length = strlen(out_missing);
            (void)snprintf(out_missing + length, MISSING_BYTES - length, "%s%s",
                           length > 0 ? ", " : "", services[i] + 1);
        }
    }
    cJSON_Delete(endpoints);
    return 0;
}

/* Without a default route, image and log need VPC endpoints. */
static void check_endpoints(struct doctor *doctor, const char *subnet)
{
    char missing[MISSING_BYTES];
    if (find_missing(doctor, OF_IMAGE_AND_LOG, missing) < 0) {
        return;
    }
    if (missing[0] == '\0') {
        doctor_report(doctor, DOCTOR_OK, NULL,
                      "subnet '%s' has no default route, but VPC endpoints", subnet);
    } else {
        doctor_report(doctor, DOCTOR_FAIL,
                      "give the subnet a NAT gateway, or the VPC these endpoints, or set "
                      "EnablePublicIP in a subnet with an Internet gateway",
                      "subnet '%s' cannot reach an image registry: no default route and no VPC "
                      "endpoints for %s",
                      subnet, missing);
    }
}

/* Images in ECR, whose layers are in S3, are pulled faster through endpoints. */
static void report_way_out(struct doctor *doctor, const char *subnet, const char *target)
{
    char missing[MISSING_BYTES];
    if (strncmp(target, "igw-", 4) == 0) {
        doctor_report(doctor, DOCTOR_OK, NULL, "subnet '%s' has a default route to '%s'", subnet,
                      target);
    } else if (find_missing(doctor, OF_IMAGE, missing) == 0) {
        bool all = missing[0] == '\0';
        doctor_report(doctor, DOCTOR_OK,
                      all ? NULL
                          : "for a faster and cheaper pull of images in ECR give the VPC these "
                            "endpoints, at least the gateway endpoint for S3, which is free",
                      "subnet '%s' has a default route to '%s'%s%s", subnet, target,
                      all ? "" : ", and no VPC endpoints for ", missing);
    }
}

static void check_route(struct doctor *doctor, const char *subnet)
{
    cJSON *tables = find_tables(doctor, subnet);
    if (tables == NULL) {
        return;
    }
    const char *target = default_route(cJSON_GetArrayItem(tables, 0));
    bool gateway = strncmp(target, "igw-", 4) == 0;
    if (target[0] == '\0') {
        check_endpoints(doctor, subnet);
    } else if (gateway && !doctor->config->fargate.enable_public_ip) {
        doctor_report(
            doctor, DOCTOR_FAIL,
            "set [Fargate] EnablePublicIP = true, or use a subnet with a NAT gateway",
            "subnet '%s' routes to the Internet gateway '%s', so tasks need a public IP address",
            subnet, target);
    } else {
        report_way_out(doctor, subnet, target);
    }
    cJSON_Delete(tables);
}

/* --- subnets --- */

static void check_subnet(struct doctor *doctor, const cJSON *subnet)
{
    const char *id = json_text_at(subnet, "subnetId");
    const char *vpc = json_text_at(subnet, "vpcId");
    const char *text = json_text_at(subnet, "availableIpAddressCount");
    int64_t addresses = -1;
    if (id == NULL || vpc == NULL) {
        return;
    }
    if (doctor->vpc[0] == '\0') {
        (void)snprintf(doctor->vpc, sizeof(doctor->vpc), "%s", vpc);
    }
    if (strcmp(doctor->vpc, vpc) != 0) {
        doctor_report(doctor, DOCTOR_FAIL,
                      "name subnets of one VPC: the security groups are of one",
                      "subnet '%s' is in '%s', others are in '%s'", id, vpc, doctor->vpc);
        return;
    }
    if (text == NULL || parse_integer(text, 0, INT32_MAX, &addresses) < 0) {
        addresses = FEW_ADDRESSES;
    }
    if (addresses < FEW_ADDRESSES) {
        doctor_report(doctor, addresses == 0 ? DOCTOR_FAIL : DOCTOR_WARN,
                      "each task uses one: name more or larger subnets in [Fargate] Subnets",
                      "subnet '%s' has %lld free addresses", id, (long long)addresses);
    }
    check_route(doctor, id);
}

static void check_subnets(struct doctor *doctor)
{
    const struct config_list *list = &doctor->config->fargate.subnets;
    struct ec2_parameters parameters = {0};
    const cJSON *subnet = NULL;
    if (list->count == 0) {
        doctor_report(doctor, DOCTOR_FAIL, "set [Fargate] Subnet or Subnets", "no subnet is set");
        return;
    }
    ec2_add_list(&parameters, "SubnetId", list);
    cJSON *subnets = doctor_ec2(doctor, "DescribeSubnets", &parameters, "subnetSet",
                                "check [Fargate] Subnet, Subnets and Region");
    cJSON_ArrayForEach(subnet, subnets)
    {
        check_subnet(doctor, subnet);
    }
    cJSON_Delete(subnets);
}

void doctor_check_network(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    if (doctor->client == NULL) {
        doctor_report(doctor, DOCTOR_UNKNOWN, NULL, "subnets and security groups");
        return;
    }
    check_subnets(doctor);
    doctor_check_groups(doctor);
    if (fargate->use_public_ip == CONFIG_YES && !fargate->enable_public_ip) {
        doctor_report(doctor, DOCTOR_FAIL, "set [Fargate] EnablePublicIP = true",
                      "UsePublicIP is set, but tasks get no public address");
    }
}
