/* SPDX-License-Identifier: MIT */
#include "driver/config/schema.h"

#include <string.h>
#include <strings.h>

#include "common/options.h"
#include "driver/config/config.h"

#define FIELD(name)    offsetof(struct config, name)
#define ENTRY(name)    offsetof(struct config_warm, name)
#define WARM           "Warm"
#define SECOND_MS      1000LL
#define MINUTE_MS      (60 * SECOND_MS)
#define HOUR_MS        (3600 * SECOND_MS)
#define DAY_MS         (24 * HOUR_MS)
#define NO_LIMIT       INT64_MAX
#define MEANING_COLUMN 6

const struct schema_row schema_rows[] = {
    {NULL, "LogLevel", SCHEMA_LEVEL, FIELD(log_level), 0, 0, "\"info\"", NULL,
     "Least severe messages to log: debug, info, warn, error or fatal.", NULL},
    {NULL, "LogFormat", SCHEMA_FORMAT, FIELD(log_format), 0, 0, "\"text\"", NULL,
     "Format of log lines: text or json.", NULL},
    {NULL, "LogFile", SCHEMA_TEXT, FIELD(log_file), 0, 0, NULL, "standard error",
     "File that log lines are appended to; errors and progress reach the job's log as well.", NULL},
    {NULL, "Backend", SCHEMA_TEXT, FIELD(backend), 0, 0, NULL, "ecs if there is a [Fargate]",
     "Where tasks run: local (a process on this host), docker (a container) or ecs (AWS Fargate).",
     NULL},
    {NULL, "CancelGrace", SCHEMA_DURATION, FIELD(cancel_grace_ms), 0, HOUR_MS, "\"10s\"", NULL,
     "Time from SIGTERM to SIGKILL when a job is cancelled.", NULL},
    {NULL, "CleanupTimeout", SCHEMA_DURATION, FIELD(cleanup_timeout_ms), SECOND_MS, HOUR_MS,
     "\"60s\"", NULL, "Time limit for stopping a task.", NULL},

    {"Fargate", "Cluster", SCHEMA_TEXT, FIELD(fargate.cluster), 0, 0, NULL, NULL,
     "ECS cluster, by name or ARN; required for ecs.", NULL},
    {"Fargate", "Region", SCHEMA_TEXT, FIELD(fargate.region), 0, 0, NULL, "AWS_REGION",
     "AWS region.", NULL},
    {"Fargate", "Subnet", SCHEMA_LIST, FIELD(fargate.subnets), 0, CONFIG_SUBNET_CEILING, NULL, NULL,
     "The same as Subnets.", NULL},
    {"Fargate", "Subnets", SCHEMA_LIST, FIELD(fargate.subnets), 0, CONFIG_SUBNET_CEILING, NULL,
     NULL,
     "Subnets of one VPC, required for ecs; if one has no capacity or no free addresses, the next "
     "is tried.",
     NULL},
    {"Fargate", "SecurityGroup", SCHEMA_LIST, FIELD(fargate.security_groups), 0,
     CONFIG_SECURITY_GROUP_CEILING, NULL, NULL, "The same as SecurityGroups.", NULL},
    {"Fargate", "SecurityGroups", SCHEMA_LIST, FIELD(fargate.security_groups), 0,
     CONFIG_SECURITY_GROUP_CEILING, NULL, "the VPC's default group",
     "Security groups of the tasks; they must allow this host to connect to the SSH port.", NULL},
    {"Fargate", "TaskDefinition", SCHEMA_TEXT, FIELD(fargate.task_definition), 0, 0, NULL, NULL,
     "Task definition, required for ecs without Image or AllowedImages: FAMILY for its latest "
     "revision, FAMILY:7 for revision 7; the job variable FARGATE_TASK_DEFINITION overrides it.",
     NULL},
    {"Fargate", "PlatformVersion", SCHEMA_TEXT, FIELD(fargate.platform_version), 0, 0, NULL,
     "LATEST, set by ECS",
     "Fargate platform version; the job variable FARGATE_PLATFORM_VERSION overrides it.", NULL},
    {"Fargate", "EnablePublicIP", SCHEMA_BOOL, FIELD(fargate.enable_public_ip), 0, 0, "false", NULL,
     "Assign a public IP address to each task: for subnets with an Internet gateway and no NAT.",
     NULL},
    {"Fargate", "UsePublicIP", SCHEMA_TRISTATE, FIELD(fargate.use_public_ip), 0, 0, NULL,
     "whichever answers first",
     "With EnablePublicIP: connect to the public address (true) or the private one (false); unset, "
     "to the private one and after 3 s to both in turn.",
     NULL},
    {"Fargate", "PropagateTags", SCHEMA_BOOL, FIELD(fargate.propagate_tags), 0, 0, "false", NULL,
     "Copy the task definition's tags to each task.", NULL},
    {"Fargate", "EnableExecuteCommand", SCHEMA_BOOL, FIELD(fargate.enable_execute_command), 0, 0,
     "false", NULL, "Enable ECS Exec in each task.", NULL},
    {"Fargate", "ContainerName", SCHEMA_TEXT, FIELD(fargate.container_name), 0, 0,
     "\"ci-coordinator\"", NULL, "Container of the task definition that runs the job.", NULL},
    {"Fargate", "LaunchType", SCHEMA_TEXT, FIELD(fargate.launch_type), 0, 0, NULL,
     "the cluster's default",
     "\"FARGATE\": run on Fargate, whatever the cluster's default capacity provider strategy is.",
     NULL},
    {"Fargate", "Spot", SCHEMA_BOOL, FIELD(fargate.spot), 0, 0, "false", NULL,
     "Run tasks on Fargate Spot.", NULL},
    {"Fargate", "SpotFallback", SCHEMA_BOOL, FIELD(fargate.spot_fallback), 0, 0, "true", NULL,
     "Run a task on demand if there is no Spot capacity.", NULL},
    {"Fargate", "CapacityProviders", SCHEMA_LIST, FIELD(fargate.capacity_providers), 0, 20, NULL,
     "the cluster's default",
     "Capacity provider strategy: NAME, NAME:WEIGHT or NAME:WEIGHT:BASE each; with neither this "
     "nor a default strategy, the launch type is FARGATE.",
     NULL},
    {"Fargate", "Tags", SCHEMA_LIST, FIELD(fargate.tags), 0, 48, NULL, NULL,
     "Tags of each task, KEY=VALUE; job variables such as $CI_PROJECT_PATH are expanded.", NULL},
    {"Fargate", "EnableManagedTags", SCHEMA_BOOL, FIELD(fargate.managed_tags), 0, 0, "false", NULL,
     "Enable ECS managed tags for each task.", NULL},
    {"Fargate", "Cpu", SCHEMA_INTEGER, FIELD(fargate.size.cpu_units), 256, 32768, NULL,
     "the task definition's", "CPU units of each task; 1024 are one vCPU.", NULL},
    {"Fargate", "Memory", SCHEMA_INTEGER, FIELD(fargate.size.memory_mib), 512, 249856, NULL,
     "the task definition's", "Memory of each task in MiB.", NULL},
    {"Fargate", "EphemeralStorage", SCHEMA_INTEGER, FIELD(fargate.size.storage_gib), 21, 200, NULL,
     "the task definition's", "Ephemeral storage of each task in GiB.", NULL},
    {"Fargate", "TaskRole", SCHEMA_TEXT, FIELD(fargate.task_role), 0, 0, NULL,
     "the task definition's", "ARN of the task role.", NULL},
    {"Fargate", "ExecutionRole", SCHEMA_TEXT, FIELD(fargate.execution_role), 0, 0, NULL,
     "the task definition's", "ARN of the task execution role.", NULL},
    {"Fargate", "MaxCpu", SCHEMA_INTEGER, FIELD(fargate.maximum.cpu_units), 0, 32768, "0", NULL,
     "Maximum that a job may request with FARGATE_CPU, in CPU units; 0: jobs may not request it.",
     NULL},
    {"Fargate", "MaxMemory", SCHEMA_INTEGER, FIELD(fargate.maximum.memory_mib), 0, 249856, "0",
     NULL,
     "Maximum that a job may request with FARGATE_MEMORY, in MiB; 0: jobs may not request it.",
     NULL},
    {"Fargate", "MaxEphemeralStorage", SCHEMA_INTEGER, FIELD(fargate.maximum.storage_gib), 0, 200,
     "0", NULL,
     "Maximum that a job may request with FARGATE_EPHEMERAL_STORAGE, in GiB; 0: jobs may not "
     "request it.",
     NULL},
    {"Fargate", "AllowedTaskDefinitions", SCHEMA_PATTERNS, FIELD(fargate.allowed_task_definitions),
     0, CONFIG_LIST_CEILING, NULL, "any",
     "Task definitions that FARGATE_TASK_DEFINITION may name; []: none.", NULL},
    {"Fargate", "AllowedPlatformVersions", SCHEMA_PATTERNS,
     FIELD(fargate.allowed_platform_versions), 0, CONFIG_LIST_CEILING, NULL, "any",
     "Platform versions that FARGATE_PLATFORM_VERSION may name; []: none.", NULL},
    {"Fargate", "AllowedTaskRoles", SCHEMA_PATTERNS, FIELD(fargate.allowed_task_roles), 0,
     CONFIG_LIST_CEILING, NULL, "none", "Task roles that FARGATE_TASK_ROLE may name.", NULL},
    {"Fargate", "AllowedExecutionRoles", SCHEMA_PATTERNS, FIELD(fargate.allowed_execution_roles), 0,
     CONFIG_LIST_CEILING, NULL, "none",
     "Task execution roles that FARGATE_EXECUTION_ROLE may name.", NULL},
    {"Fargate", "RegistrySecrets", SCHEMA_LIST, FIELD(fargate.registry_secrets), 0,
     CONFIG_LIST_CEILING, NULL, "none",
     "Logins of private registries, HOST=ARN of a secret in Secrets Manager; a job can use one for "
     "images that its own login may read.",
     NULL},
    {"Fargate", "RegistrySecretsShared", SCHEMA_BOOL, FIELD(fargate.registry_secrets_shared), 0, 0,
     "false", NULL,
     "Use RegistrySecrets also for jobs without a login of their own, and if the registry does not "
     "answer: then AllowedImages alone decides which images a job can read.",
     NULL},
    {"Fargate", "ImageRewrite", SCHEMA_LIST, FIELD(fargate.image_rewrite), 0, CONFIG_LIST_CEILING,
     NULL, "none",
     "FROM=TO: images whose full name begins with FROM, such as \"docker.io\", are pulled from TO, "
     "such as a pull-through cache in ECR.",
     NULL},
    {"Fargate", "LaunchTimeout", SCHEMA_DURATION, FIELD(fargate.launch_timeout_ms), SECOND_MS,
     DAY_MS, "\"10m\"", NULL, "Time limit from RunTask to the login.", NULL},
    {"Fargate", "ServiceTimeout", SCHEMA_DURATION, FIELD(fargate.service_timeout_ms), 0, HOUR_MS,
     "\"30s\"", NULL, "Time limit for services to become ready.", NULL},
    {"Fargate", "WatchInterval", SCHEMA_DURATION, FIELD(fargate.watch_interval_ms), 500, HOUR_MS,
     "\"15s\"", NULL, "Interval of DescribeTasks while a script runs.", NULL},
    {"Fargate", "CallsPerSecond", SCHEMA_INTEGER, FIELD(fargate.calls_per_second), 1, 100, "10",
     NULL, "Maximum rate of each AWS call, for all jobs with the same metadata directory together.",
     NULL},

    {"Fargate", "Image", SCHEMA_TEXT, FIELD(fargate.image), 0, 0, NULL, NULL,
     "Image of jobs without 'image:'; with this key or AllowedImages Berth generates the task "
     "definition of a job, with TaskDefinition as its base.",
     NULL},
    {"Fargate", "AllowedImages", SCHEMA_IMAGES, FIELD(fargate.allowed_images), 0,
     CONFIG_LIST_CEILING, NULL, "only Image",
     "Images that a job's 'image:' may name; with neither this key nor Image, 'image:' is ignored.",
     NULL},
    {"Fargate", "AllowedServices", SCHEMA_IMAGES, FIELD(fargate.allowed_services), 0,
     CONFIG_LIST_CEILING, NULL, "none", "Images that a job's 'services:' may name.", NULL},
    {"Fargate", "JobPort", SCHEMA_INTEGER, FIELD(fargate.job_port), 1024, 65535, "22122", NULL,
     "SSH port of the job's container in generated task definitions.", NULL},
    {"Fargate", "HelperPort", SCHEMA_INTEGER, FIELD(fargate.helper_port), 1024, 65535, "22123",
     NULL, "SSH port of the helper in generated task definitions.", NULL},
    {"Fargate", "LogGroup", SCHEMA_TEXT, FIELD(fargate.log_group), 0, 0, NULL, "no logs",
     "CloudWatch log group of generated task definitions without TaskDefinition.", NULL},
    {"Fargate", "DefinitionAge", SCHEMA_DURATION, FIELD(fargate.definition_age_ms), HOUR_MS,
     3650 * DAY_MS, "\"720h\"", NULL,
     "Age after which 'gc --task-definitions' removes a generated task definition; a job that "
     "needs it again registers it again.",
     NULL},
    {"Fargate", "ServiceSecretsInOverrides", SCHEMA_BOOL,
     FIELD(fargate.service_secrets_in_overrides), 0, 0, "false", NULL,
     "Pass masked variables to services whose ENTRYPOINT is not known as overrides of the task, "
     "which users with access to DescribeTasks can read.",
     NULL},
    {"Fargate", "PrivilegedImages", SCHEMA_IMAGES, FIELD(fargate.privileged_images), 0,
     CONFIG_LIST_CEILING, NULL, "none",
     "Images of jobs that run privileged, and so can control their whole instance; needs "
     "CapacityProviders of ECS Managed Instances alone.",
     NULL},
    {"Fargate", "PrivilegedServices", SCHEMA_IMAGES, FIELD(fargate.privileged_services), 0,
     CONFIG_LIST_CEILING, NULL, "none",
     "Images of services that run privileged, such as \"docker:*-dind\", under the same condition; "
     "/certs/client is shared between them and the job.",
     NULL},

    {"Price", "VcpuHour", SCHEMA_NUMBER, FIELD(price.vcpu_hour), 0, 0, NULL, NULL,
     "Price of one vCPU for one hour, from which 'ps' computes costs.", NULL},
    {"Price", "GibHour", SCHEMA_NUMBER, FIELD(price.gib_hour), 0, 0, NULL, NULL,
     "Price of one GiB of memory for one hour.", NULL},
    {"Price", "SpotFactor", SCHEMA_NUMBER, FIELD(price.spot_factor), 0, 0, "0.3", NULL,
     "Price of Spot as a fraction of the price on demand.", NULL},
    {"Price", "Currency", SCHEMA_TEXT, FIELD(price.currency), 0, 0, "\"USD\"", NULL,
     "Currency of these prices, as printed beside a cost.", NULL},

    {"AWS", "Profile", SCHEMA_TEXT, FIELD(aws_profile), 0, 0, NULL, "AWS_PROFILE, else default",
     "Profile of ~/.aws/config or ~/.aws/credentials; it wins over keys in the environment.", NULL},
    {"AWS", "SessionTags", SCHEMA_LIST, FIELD(aws_session_tags), 0, 50, NULL, NULL,
     "Session tags, KEY=VALUE, for the profile's role_arn.", NULL},

    {"TaskMetadata", "Directory", SCHEMA_TEXT, FIELD(metadata_directory), 0, 0, NULL,
     "/var/lib/berth/metadata for root",
     "Directory with one file of mode 0600 per running job, created if missing; it must belong to "
     "the user that runs the driver and be writable by no other user. The default of other users "
     "is ~/.local/state/berth/metadata.",
     NULL},

    {"History", "Enabled", SCHEMA_BOOL, FIELD(history.enabled), 0, 0, "true", NULL,
     "Keep one line per job for 'history', 'report' and 'metrics'.", NULL},
    {"History", "Directory", SCHEMA_TEXT, FIELD(history.directory), 0, 0, NULL,
     "history, beside [TaskMetadata] Directory",
     "Directory of the history, created if missing; the same rule of owner and mode as for "
     "[TaskMetadata] Directory.",
     NULL},
    {"History", "MaxSize", SCHEMA_SIZE, FIELD(history.max_size_bytes), 64L << 10, 1L << 30,
     "\"128MiB\"", NULL, "Size at which the oldest lines are dropped.", NULL},
    {"History", "MaxAge", SCHEMA_DURATION, FIELD(history.max_age_ms), DAY_MS, 3660 * DAY_MS,
     "\"365d\"", NULL, "Age at which lines are dropped.", NULL},

    {"Metrics", "Projects", SCHEMA_BOOL, FIELD(history.projects), 0, 0, "false", NULL,
     "Let 'metrics' print counters per project too, for at most 200 projects.", NULL},

    {"SSH", "Username", SCHEMA_TEXT, FIELD(ssh_username), 0, 0, "\"root\"", NULL,
     "User that the driver logs in as.", NULL},
    {"SSH", "Port", SCHEMA_INTEGER, FIELD(ssh_port), 0, 65535, "22", NULL,
     "SSH port of the tasks; 0 means 22, and 'local' picks a free one.", NULL},
    {"SSH", "HostKey", SCHEMA_CHOICE, FIELD(ssh_host_key), 0, 0, "\"accept-new\"", NULL,
     "strict: accept only the host key that the driver chose (images with berth-agent); "
     "accept-new: also accept the key of an image with sshd at the first connection.",
     "strict|accept-new"},
    {"SSH", "ConnectTimeout", SCHEMA_DURATION, FIELD(ssh_connect_timeout_ms), 100, HOUR_MS,
     "\"60s\"", NULL, "Time limit from launch to login; on ECS, from RUNNING to login.", NULL},
    {"SSH", "Keepalive", SCHEMA_DURATION, FIELD(ssh_keepalive_ms), 0, HOUR_MS, "\"15s\"", NULL,
     "Silence after which the connection is probed; after three unanswered probes it is lost.",
     NULL},
    {"SSH", "ReattachTimeout", SCHEMA_DURATION, FIELD(ssh_reattach_timeout_ms), 0, HOUR_MS,
     "\"5m\"", NULL,
     "Time limit for reconnecting to a running job after its connection was lost; 0: do not "
     "reconnect.",
     NULL},
    {"SSH", "PrivateKeyPath", SCHEMA_IGNORED, 0, 0, 0, NULL, "every job gets a key of its own",
     "Accepted and ignored: every job gets a key of its own.", NULL},

    {"Local", "Directory", SCHEMA_TEXT, FIELD(local_directory), 0, 0, NULL,
     "/var/lib/berth/local for root",
     "Directory below which each job gets its own HOME, builds and temporary files. The default "
     "of other users is ~/.local/state/berth/local.",
     NULL},
    {"Local", "Agent", SCHEMA_TEXT, FIELD(local_agent), 0, 0, NULL, "the embedded agent",
     "Another berth-agent program; BERTH_AGENT overrides it.", NULL},
    {"Local", "PassEnvironment", SCHEMA_LIST, FIELD(local_pass_environment), 0, CONFIG_LIST_CEILING,
     NULL, NULL, "Further variables of this host that jobs get.", NULL},

    {"Docker", "Host", SCHEMA_TEXT, FIELD(docker.host), 0, 0, NULL, "DOCKER_HOST",
     "Docker Engine: unix://PATH or tcp://HOST:PORT; without DOCKER_HOST, /var/run/docker.sock or "
     "the user's own socket.",
     NULL},
    {"Docker", "TLSVerify", SCHEMA_TRISTATE, FIELD(docker.tls_verify), 0, 0, NULL,
     "DOCKER_TLS_VERIFY", "Use TLS to the engine and verify its certificate.", NULL},
    {"Docker", "CertPath", SCHEMA_TEXT, FIELD(docker.certificate_directory), 0, 0, NULL,
     "DOCKER_CERT_PATH, else ~/.docker", "Directory of ca.pem, cert.pem and key.pem.", NULL},
    {"Docker", "Image", SCHEMA_TEXT, FIELD(docker.image), 0, 0, NULL, NULL,
     "Image of jobs without 'image:'.", NULL},
    {"Docker", "AllowedImages", SCHEMA_IMAGES, FIELD(docker.allowed_images), 0, CONFIG_LIST_CEILING,
     NULL, "only Image", "Images that a job's 'image:' may name.", NULL},
    {"Docker", "AllowedServices", SCHEMA_IMAGES, FIELD(docker.allowed_services), 0,
     CONFIG_LIST_CEILING, NULL, "none", "Images that a job's 'services:' may name.", NULL},
    {"Docker", "PullPolicy", SCHEMA_LIST, FIELD(docker.pull_policies), 0,
     CONFIG_PULL_POLICY_CEILING, NULL, "if-not-present",
     "always, if-not-present or never; of several the next is tried if a pull fails, and the "
     "job's pull_policy may choose among them.",
     NULL},
    {"Docker", "PullTimeout", SCHEMA_DURATION, FIELD(docker.pull_timeout_ms), SECOND_MS, DAY_MS,
     "\"30m\"", NULL, "Time limit for pulling one image.", NULL},
    {"Docker", "ServiceTimeout", SCHEMA_DURATION, FIELD(docker.service_timeout_ms), 0, HOUR_MS,
     "\"30s\"", NULL, "Time limit for services to become ready.", NULL},
    {"Docker", "Memory", SCHEMA_SIZE, FIELD(docker.memory_bytes), 6L << 20, NO_LIMIT, NULL,
     "no limit", "Memory limit of the job's container and of each service; no swap on top.", NULL},
    {"Docker", "CPUs", SCHEMA_CPUS, FIELD(docker.nano_cpus), 0, 0, NULL, "no limit",
     "CPU limit of the job's container and of each service.", NULL},
    {"Docker", "PidsLimit", SCHEMA_INTEGER, FIELD(docker.pids_limit), 1, 1LL << 22, NULL,
     "no limit", "Process limit of the job's container and of each service.", NULL},
    {"Docker", "Network", SCHEMA_TEXT, FIELD(docker.network), 0, 0, NULL, "the default bridge",
     "Existing bridge network for the job.", NULL},
    {"Docker", "Volumes", SCHEMA_LIST, FIELD(docker.volumes), 0, CONFIG_LIST_CEILING, NULL, NULL,
     "FROM:TO or FROM:TO:ro, where FROM is a directory of the engine's host or a named volume, "
     "for every job; \"cache:/cache\" keeps the cache.",
     NULL},
    {"Docker", "Environment", SCHEMA_LIST, FIELD(docker.environment), 0, CONFIG_LIST_CEILING, NULL,
     NULL, "Variables of the container: NAME=VALUE, or NAME for the driver's own value.", NULL},
    {"Docker", "Labels", SCHEMA_LIST, FIELD(docker.labels), 0, CONFIG_LIST_CEILING, NULL, NULL,
     "Labels, NAME=VALUE, of every container, network and volume that Berth creates.", NULL},
    {"Docker", "User", SCHEMA_TEXT, FIELD(docker.user), 0, 0, NULL, "the job's, else the image's",
     "User of the container; it wins over the job's docker:user.", NULL},
    {"Docker", "CapAdd", SCHEMA_LIST, FIELD(docker.cap_add), 0, CONFIG_LIST_CEILING, NULL, NULL,
     "Capabilities to add to the job's container.", NULL},
    {"Docker", "CapDrop", SCHEMA_LIST, FIELD(docker.cap_drop), 0, CONFIG_LIST_CEILING, NULL, NULL,
     "Capabilities to drop from the job's container.", NULL},
    {"Docker", "Privileged", SCHEMA_BOOL, FIELD(docker.privileged), 0, 0, "false", NULL,
     "Run the job's container privileged.", NULL},
    {"Docker", "Publish", SCHEMA_TRISTATE, FIELD(docker.publish), 0, 0, NULL,
     "depends on the engine",
     "Connect through a published port of the engine's host instead of the container's address; "
     "the default with Docker Desktop and with rootless and remote engines.",
     NULL},
    {"Docker", "Agent", SCHEMA_TEXT, FIELD(docker.agent), 0, 0, NULL, "the embedded agent",
     "Another berth-agent program, for images of another architecture; BERTH_AGENT overrides it.",
     NULL},

    {"Helper", "Use", SCHEMA_CHOICE, FIELD(helper.use), 0, 0, "\"auto\"", NULL,
     "Where clone, cache and artifacts run: auto: in a helper container, or on docker in the job's "
     "own if the helper's image cannot be had; always: fail without it; never: in the job's own, "
     "whose image needs git and gitlab-runner. On ecs only jobs with an image of their own have a "
     "helper.",
     "auto|always|never"},
    {"Helper", "Image", SCHEMA_TEXT, FIELD(helper.image), 0, 0, NULL,
     "GitLab's gitlab-runner-helper of the runner's version",
     "Image with git, git-lfs and gitlab-runner-helper (or gitlab-runner).", NULL},
    {"Helper", "AgentImage", SCHEMA_TEXT, FIELD(helper.agent_image), 0, 0, NULL, NULL,
     "Image with the agent for generated task definitions on ECS; 'push-agent' pushes it.", NULL},
    {"Helper", "Busybox", SCHEMA_TEXT, FIELD(helper.busybox), 0, 0, "\"/bin/busybox\"", NULL,
     "Static busybox that replaces the shell in images without one; \"none\": no replacement.",
     NULL},
    {"Helper", "InsecureRegistries", SCHEMA_LIST, FIELD(helper.insecure_registries), 0,
     CONFIG_LIST_CEILING, NULL, "none",
     "Registries, HOST or HOST:PORT, that Berth asks by plain HTTP, and that may have an address "
     "of this host.",
     NULL},

    {"Services", "Builds", SCHEMA_BOOL, FIELD(services.builds), 0, 0, "true", NULL,
     "Mount the builds directory in services, too.", NULL},

    {"WarmPool", "MaxTasks", SCHEMA_INTEGER, FIELD(warm_tasks_maximum), 1,
     CONFIG_WARM_TASKS_CEILING, "10", NULL,
     "Maximum number of warm tasks, of all [[Warm]] together.", NULL},

    {WARM, "Image", SCHEMA_TEXT, ENTRY(image), 0, 0, NULL, NULL,
     "Image of jobs for which tasks are kept ready, written as the jobs write it.", NULL},
    {WARM, "TaskDefinition", SCHEMA_TEXT, ENTRY(task_definition), 0, 0, NULL, NULL,
     "The same for ecs, of jobs that use this task definition.", NULL},
    {WARM, "Platform", SCHEMA_TEXT, ENTRY(platform), 0, 0, NULL, "jobs that request none",
     "Platform that the jobs request, as in \"linux/arm64\"; for ecs the Fargate platform version.",
     NULL},
    {WARM, "Cpu", SCHEMA_INTEGER, ENTRY(size.cpu_units), 256, 32768, NULL, "[Fargate] Cpu",
     "CPU units that the jobs request; for ecs.", NULL},
    {WARM, "Memory", SCHEMA_INTEGER, ENTRY(size.memory_mib), 512, 249856, NULL, "[Fargate] Memory",
     "Memory that the jobs request, in MiB; for ecs.", NULL},
    {WARM, "EphemeralStorage", SCHEMA_INTEGER, ENTRY(size.storage_gib), 21, 200, NULL,
     "[Fargate] EphemeralStorage", "Ephemeral storage that the jobs request, in GiB; for ecs.",
     NULL},
    {WARM, "TaskRole", SCHEMA_TEXT, ENTRY(task_role), 0, 0, NULL, "[Fargate] TaskRole",
     "ARN of the task role that the jobs request; for ecs.", NULL},
    {WARM, "ExecutionRole", SCHEMA_TEXT, ENTRY(execution_role), 0, 0, NULL,
     "[Fargate] ExecutionRole", "ARN of the task execution role that the jobs request; for ecs.",
     NULL},
    {WARM, "Tasks", SCHEMA_INTEGER, ENTRY(tasks), 0, CONFIG_WARM_TASKS_CEILING, "1", NULL,
     "Number of tasks to keep ready while no entry of Schedule applies.", NULL},
    {WARM, "Schedule", SCHEMA_SCHEDULE, ENTRY(schedule), 0, CONFIG_WARM_TASKS_CEILING, NULL, NULL,
     "Numbers of tasks at certain times, { \"Mon-Fri 08:00-19:00 Asia/Tokyo\" = 4 }: days "
     "(default: every day), times, time zone (default: UTC); the largest that applies counts.",
     NULL},
    {WARM, "IdleTime", SCHEMA_DURATION, ENTRY(idle_time_ms), 0, DAY_MS, "\"30m\"", NULL,
     "Time after which a task beyond the number wanted is stopped.", NULL},
    {WARM, "MaxAge", SCHEMA_DURATION, ENTRY(max_age_ms), MINUTE_MS, DAY_MS, "\"4h\"", NULL,
     "Age at which a task is replaced; one that is still unused a minute later exits on its own.",
     NULL},
};

const size_t schema_count = sizeof(schema_rows) / sizeof(schema_rows[0]);

_Static_assert(sizeof(schema_rows) / sizeof(schema_rows[0]) <= CONFIG_KEY_CEILING,
               "struct config has a line number for each key");

bool schema_same_section(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool schema_is_entry(const struct schema_row *row)
{
    return schema_same_section(row->section, WARM);
}

const struct schema_row *schema_find(const char *section, const char *name)
{
    for (size_t i = 0; i < schema_count; i++) {
        if (schema_same_section(schema_rows[i].section, section) &&
            strcasecmp(schema_rows[i].name, name) == 0) {
            return &schema_rows[i];
        }
    }
    return NULL;
}

void schema_write_number(const struct schema_row *row, int64_t number, char out[PARSE_TEXT_BYTES])
{
    if (row->type == SCHEMA_DURATION) {
        duration_text(number, out);
    } else if (row->type == SCHEMA_SIZE) {
        size_text(number, out);
    } else {
        (void)snprintf(out, PARSE_TEXT_BYTES, "%lld", (long long)number);
    }
}

/* "integer from 1 to 100" */
static void write_type(const struct schema_row *row, char *out, size_t room)
{
    static const char *const names[] = {
        [SCHEMA_TEXT] = "text",          [SCHEMA_CHOICE] = "text",
        [SCHEMA_BOOL] = "true or false", [SCHEMA_TRISTATE] = "true or false",
        [SCHEMA_INTEGER] = "integer",    [SCHEMA_NUMBER] = "number",
        [SCHEMA_DURATION] = "duration",  [SCHEMA_SIZE] = "size",
        [SCHEMA_CPUS] = "number",        [SCHEMA_LIST] = "text or list",
        [SCHEMA_PATTERNS] = "patterns",  [SCHEMA_IMAGES] = "patterns",
        [SCHEMA_LEVEL] = "text",         [SCHEMA_FORMAT] = "text",
        [SCHEMA_SCHEDULE] = "table",     [SCHEMA_IGNORED] = "ignored",
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == SCHEMA_IGNORED + 1, "a name for each type");
    char least[PARSE_TEXT_BYTES];
    char most[PARSE_TEXT_BYTES];
    const char *name = names[row->type];
    if (row->type == SCHEMA_INTEGER || row->type == SCHEMA_DURATION) {
        schema_write_number(row, row->minimum, least);
        schema_write_number(row, row->maximum, most);
        (void)snprintf(out, room, "%s from %s to %s", name, least, most);
    } else if (row->type == SCHEMA_LIST || row->type == SCHEMA_PATTERNS ||
               row->type == SCHEMA_IMAGES) {
        (void)snprintf(out, room, "%s, up to %lld", name, (long long)row->maximum);
    } else {
        (void)snprintf(out, room, "%s", name);
    }
}

void schema_print(FILE *out)
{
    char type[96];
    (void)fputs(
        "The configuration file is TOML. Keys are matched in any case. A wrong type or\n"
        "value is an error with file, line and key; an unknown key is a warning with the\n"
        "closest known one, and a failure in 'doctor'.\n"
        "\n"
        "A duration is \"500ms\", \"30s\", \"5m\", \"2h\" or a number of seconds; a size is\n"
        "\"512MiB\", \"2G\" or a number of bytes. In patterns, * matches any text without /,\n"
        "** any text, ? one character other than /.\n"
        "\n",
        out);
    for (size_t i = 0; i < schema_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (i > 0 && !schema_same_section(row->section, row[-1].section)) {
            (void)fprintf(out, schema_is_entry(row) ? "\n[[%s]]\n" : "\n[%s]\n", row->section);
        }
        write_type(row, type, sizeof(type));
        const char *value = row->initial != NULL          ? row->initial
                            : row->type != SCHEMA_IGNORED ? row->unset
                                                          : NULL;
        (void)fprintf(out, "  %s (%s%s%s)\n%*s", row->name, type,
                      value != NULL ? "; default: " : "", value != NULL ? value : "",
                      MEANING_COLUMN, "");
        options_print_text(out, MEANING_COLUMN, MEANING_COLUMN, row->meaning);
    }
}
