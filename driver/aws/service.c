/* SPDX-License-Identifier: MIT */
#include "driver/aws/service.h"

#include <stdio.h>
#include <string.h>

struct partition {
    const char *prefix; /* of its regions; the last row matches all */
    const char *id, *suffix, *dualstack_suffix;
    const char *registry_suffix; /* of ECR's dual-stack registries; NULL: none */
    /* IAM is one service per partition: the labels between its name and the suffix. */
    const char *iam_plain, *iam_dualstack, *iam_fips, *iam_both, *iam_region;
};

static const struct partition partitions[] = {
    {"cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn",
     "on.amazonwebservices.com.cn", "cn-north-1.", "global.", "", "", "cn-north-1"},
    {"us-gov-", "aws-us-gov", "amazonaws.com", "api.aws", "on.aws", "us-gov.", "us-gov.", "us-gov.",
     "us-gov.", "us-gov-west-1"},
    {"us-iso-", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov", NULL, "us-iso-east-1.", "",
     "us-iso-east-1.", "", "us-iso-east-1"},
    {"us-isob-", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", NULL, "us-isob-east-1.", "",
     "us-isob-east-1.", "", "us-isob-east-1"},
    {"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", NULL, "eu-isoe-west-1.",
     "", "", "", "eu-isoe-west-1"},
    {"us-isof-", "aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", NULL, "us-isof-south-1.", "",
     "", "", "us-isof-south-1"},
    {"eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "on.amazonwebservices.eu",
     "eusc-de-east-1.", "global.", "", "", "eusc-de-east-1"},
    {"", "aws", "amazonaws.com", "api.aws", "on.aws", "", "global.", "", "global.", "us-east-1"},
};

static const struct aws_service_row services[AWS_SERVICE_COUNT] = {
    [AWS_SERVICE_EC2] = {"ec2", "EC2", "2016-11-15"},
    [AWS_SERVICE_STS] = {"sts", "STS", "2011-06-15"},
    [AWS_SERVICE_IAM] = {"iam", "IAM", "2010-05-08"},
    [AWS_SERVICE_ECS] = {"ecs", "ECS", NULL},
    [AWS_SERVICE_ECR] = {"ecr", "ECR", NULL},
    [AWS_SERVICE_LOGS] = {"logs", "CLOUDWATCH_LOGS", NULL},
};

const struct aws_service_row *aws_service_row(enum aws_service service)
{
    return &services[service];
}

static const struct partition *find_partition(const char *region)
{
    const struct partition *row = partitions;
    while (strncmp(region, row->prefix, strlen(row->prefix)) != 0) {
        row++;
    }
    return row;
}

const char *aws_partition(const char *region)
{
    return find_partition(region)->id;
}

bool aws_suffix_is_of(const char *region, const char *suffix, bool registry_dualstack)
{
    const struct partition *partition = find_partition(region);
    const char *wanted = registry_dualstack ? partition->registry_suffix : partition->suffix;
    return wanted != NULL && strcmp(suffix, wanted) == 0;
}

bool aws_region_is_valid(const char *region)
{
    size_t length = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && region[length] == '\0' && length < AWS_REGION_BYTES && region[0] != '-';
}

static void iam_endpoint(const struct partition *partition,
                         const struct aws_endpoint_choice *choice, struct aws_endpoint *out)
{
    /* GovCloud's endpoint is a FIPS one under its plain name. */
    bool fips = choice->fips && strcmp(partition->id, "aws-us-gov") != 0;
    const char *labels[2][2] = {{partition->iam_plain, partition->iam_dualstack},
                                {partition->iam_fips, partition->iam_both}};
    (void)snprintf(out->url, sizeof(out->url), "https://iam%s.%s%s", fips ? "-fips" : "",
                   labels[fips][choice->dualstack],
                   choice->dualstack ? partition->dualstack_suffix : partition->suffix);
    (void)snprintf(out->region, sizeof(out->region), "%s", partition->iam_region);
}

void aws_endpoint(enum aws_service service, const struct aws_endpoint_choice *choice,
                  struct aws_endpoint *out)
{
    const struct partition *partition = find_partition(choice->region);
    if (service == AWS_SERVICE_IAM) {
        iam_endpoint(partition, choice, out);
        return;
    }
    /* GovCloud's EC2 and STS are FIPS endpoints under their plain names. */
    bool plain = !choice->dualstack && service != AWS_SERVICE_ECS && service != AWS_SERVICE_ECR &&
                 strcmp(partition->id, "aws-us-gov") == 0;
    const char *prefix = service == AWS_SERVICE_ECR && !choice->dualstack ? "api." : "";
    (void)snprintf(out->url, sizeof(out->url), "https://%s%s%s.%s.%s", prefix,
                   services[service].name, choice->fips && !plain ? "-fips" : "", choice->region,
                   choice->dualstack ? partition->dualstack_suffix : partition->suffix);
    (void)snprintf(out->region, sizeof(out->region), "%s", choice->region);
}
